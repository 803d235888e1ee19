"""What attempts have cost, each counted once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ledger_fakes import DONE, NOW, new_record

from contracts.cost import Cost
from contracts.ids import new_uid
from contracts.kinds import Extra
from ledger.items import to_item, to_record
from ledger.port import Ledger
from ledger.record import Record
from ledger.transitions import DEFAULT_LIMITS
from ledger.wire import to_wire

SPOT = Cost(gpu_ms=1500, micros=207, currency="USD", node_type="g5.2xlarge", capacity="spot")
UNPRICED = Cost(gpu_ms=250)
FIRST = replace(DONE, attempt=1, cost=SPOT)


@pytest.fixture
async def record(ledger: Ledger) -> Record:
    """A task in its first attempt."""
    created = await ledger.create(new_record())
    begun = await ledger.begin(created.uid, NOW, receives=1)
    assert begun is not None
    return begun


async def known(ledger: Ledger, record: Record) -> Record:
    found = await ledger.get(record.uid)
    assert found is not None
    return found


async def test_the_cost_of_a_finished_attempt_is_the_tasks(
    ledger: Ledger, record: Record
) -> None:
    assert record.cost is None
    ended, _ = await ledger.finish(record.uid, FIRST, NOW)
    assert ended is not None
    assert ended.cost == SPOT
    assert await known(ledger, record) == ended


async def test_released_attempts_are_summed_up_with_the_last_one(
    ledger: Ledger, record: Record
) -> None:
    uid = record.uid
    on_demand = replace(SPOT, gpu_ms=2, micros=1, capacity="on-demand")
    await ledger.release(uid, 1, interrupted=True, reason="Spot", cost=SPOT)
    await ledger.begin(uid, NOW, receives=2)
    await ledger.release(uid, 2, interrupted=False, reason="broken", cost=UNPRICED)
    await ledger.begin(uid, NOW, receives=3)
    ended, _ = await ledger.finish(uid, replace(DONE, attempt=3, cost=on_demand), NOW)
    assert ended is not None
    assert ended.cost == replace(on_demand, gpu_ms=1752, micros=208)


async def test_a_repeated_call_adds_nothing(ledger: Ledger, record: Record) -> None:
    uid = record.uid
    for _ in range(2):
        await ledger.release(uid, 1, interrupted=True, reason="Spot", cost=SPOT)
        await ledger.charge(uid, 1, SPOT)
    await ledger.begin(uid, NOW, receives=2)
    for _ in range(2):
        await ledger.finish(uid, replace(DONE, attempt=2, cost=UNPRICED), NOW)
        await ledger.charge(uid, 2, UNPRICED)
    assert (await known(ledger, record)).cost == replace(SPOT, gpu_ms=1750)


async def test_a_late_attempt_of_an_ended_task_is_charged_and_changes_nothing_else(
    ledger: Ledger, record: Record
) -> None:
    uid = record.uid
    await ledger.begin(uid, NOW, receives=2)
    ended, _ = await ledger.finish(uid, replace(DONE, attempt=2, cost=SPOT), NOW)
    assert ended is not None
    charged = await ledger.charge(uid, 1, UNPRICED)
    assert charged == replace(ended, gpu_ms=1750, charged=(2, 1))


async def test_a_result_counts_although_its_cost_was_counted_before(
    ledger: Ledger, record: Record
) -> None:
    # A slow finish, overtaken by the release of the same attempt.
    await ledger.release(record.uid, 1, interrupted=True, reason="", cost=SPOT)
    ended, committed = await ledger.finish(record.uid, FIRST, NOW)
    assert committed
    assert ended is not None
    assert ended.terminal
    assert ended.cost == SPOT


async def test_a_task_that_is_given_up_keeps_what_it_has_cost(
    ledger: Ledger, record: Record
) -> None:
    await ledger.release(record.uid, 1, interrupted=False, reason="", cost=SPOT)
    given_up = await ledger.begin(record.uid, NOW, receives=DEFAULT_LIMITS.receives)
    assert given_up is not None
    assert given_up.poisoned
    assert given_up.cost == SPOT


async def test_what_has_no_record_is_not_charged(ledger: Ledger) -> None:
    uid = new_uid()
    assert await ledger.charge(uid, 1, SPOT) is None
    assert await ledger.get(uid) is None


async def test_an_agent_that_tells_no_cost_leaves_it_unknown(
    ledger: Ledger, record: Record
) -> None:
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    assert ended is not None
    assert ended.cost is None
    assert not to_wire(ended).HasField("cost")


def test_an_item_of_an_older_release_has_no_cost_and_no_price_is_not_a_price_of_0() -> None:
    record = new_record()
    item: dict[str, Any] = to_item(record)
    assert {"charged", "gpu_ms", "cost_micros", "include", "callback_url"}.isdisjoint(item)
    for cost in [UNPRICED, replace(SPOT, micros=0)]:
        told = replace(
            record, charged=(1,), gpu_ms=cost.gpu_ms, cost_micros=cost.micros,
            currency=cost.currency, node_type=cost.node_type, capacity=cost.capacity,
            include=(Extra.COST,), callback_url="https://a.example/in",
        )  # fmt: skip
        assert to_record(to_item(told)) == told
        wire = to_wire(told).cost
        assert wire.HasField("amount_micros") is (cost.micros is not None)
