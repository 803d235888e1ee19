"""The table of docs/scale.md, and the facts of the code that it rests on."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.ids import Prefix, TaskId, new_uid
from contracts.kinds import TaskType
from contracts.state import Progress, TaskState
from deployment.cost import RECORD_KIB
from deployment.scale import MARKERS, RATES, Sizing, report, written_into
from ledger.items import to_item
from ledger.record import Record

PAGE = Path("docs/scale.md")


def sizing(per_minute: int) -> Sizing:
    return Sizing(Decimal(per_minute))


def test_page_holds_the_table_that_is_printed() -> None:
    page = PAGE.read_text()
    sizings = [sizing(rate) for rate in RATES]

    assert written_into(page, report(sizings)) == page, "run: python -m deployment.scale"


def test_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="scale:begin"):
        written_into(f"no {MARKERS[1]}", "")


def test_nodes_keep_up_with_the_images() -> None:
    for rate in (1, 100, 10_000):
        of = sizing(rate)
        kept_up = of.gpu_nodes * Decimal("0.8") / Decimal("1.5") * 60

        assert kept_up >= rate
        assert (of.gpu_nodes - 1) * Decimal("0.8") / Decimal("1.5") * 60 < rate


def test_one_runtime_is_enough_for_ten_thousand_images_a_minute_and_not_for_fifty() -> None:
    of = sizing(10_000)

    assert (of.index_units, of.table_units) == (167, 1_500)
    assert (of.runtimes, sizing(50_000).runtimes) == (1, 2)


def test_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs nothing"):
        sizing(0)


def test_record_of_an_image_is_one_write_unit() -> None:
    now, uid = datetime.now(UTC), new_uid()
    where = "s3://stack-output-123456789012-us-west-2/output/customer-0123456789"
    record = Record(
        uid=uid,
        id=TaskId("customer-0123456789"),
        tenant="default",
        runtime="sdruntime",
        tasktype=TaskType.TEXT_TO_IMAGE,
        bucket="stack-output-123456789012-us-west-2",
        prefix=Prefix("output"),
        context_json='{"order": "0123456789"}',
        created_at=now,
        started_at=now,
        finished_at=now,
        state=TaskState.COMPLETED,
        image_url=(f"{where}/customer-0123456789-{uid}-1.png",),
        output_url=f"{where}/customer-0123456789.out",
        progress=Progress(step=20, total=20),
        callback_due=True,
    )

    assert sum(map(item_bytes, to_item(record).items())) < RECORD_KIB * 1024


def item_bytes(attribute: tuple[str, Any]) -> int:
    """At least what DynamoDB counts: names and texts, and a list's or number's share."""
    name, value = attribute
    ((kind, content),) = value.items()
    if kind == "L":
        return len(name) + 3 + sum(len(each["S"]) + 1 for each in content)
    if kind == "M":
        return len(name) + 3 + sum(1 + item_bytes(each) for each in content.items())
    return len(name) + len(str(content))
