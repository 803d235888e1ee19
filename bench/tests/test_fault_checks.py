"""The checks of the fault injector find what they are there to find."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from awsio import clients
from contracts.ids import Prefix, TaskId, Uid, new_uid
from contracts.kinds import TaskType
from darkroom_bench.fault_checks import check
from darkroom_bench.fault_load import Told
from ledger.dynamodb import DynamoDbLedger
from ledger.record import Record, Result
from provisioning.resources import Resources, provision
from testkit.aws import aws

__all__ = ["aws"]

pytestmark = pytest.mark.usefixtures("aws")


def told(callback: dict[str, Any]) -> Told:
    return Told(json.dumps(callback), callback, 0.0)


def callback_of(uid: Uid, bucket: str) -> dict[str, Any]:
    return {
        "uid": uid,
        "result": True,
        "status": "completed",
        "error": None,
        "image_url": [f"s3://{bucket}/{uid}.png"],
        "output_url": f"s3://{bucket}/{uid}.out",
    }


async def completed(resources: Resources, image: bytes) -> Uid:
    """Make a completed task with these objects."""
    uid, now = new_uid(), datetime.now(UTC)
    record = Record(
        uid=uid,
        id=TaskId("check"),
        tenant="bench",
        runtime="sdruntime",
        tasktype=TaskType.TEXT_TO_IMAGE,
        bucket=resources.output_bucket,
        prefix=Prefix("bench"),
        context_json="{}",
        created_at=now,
    )
    async with clients.dynamodb() as dynamodb, clients.s3() as s3:
        ledger = DynamoDbLedger(client=dynamodb, table=resources.table)
        await ledger.create(record)
        await ledger.finish(uid, Result(output_url="s3://b/o"), now)
        for key, body in ((f"{uid}.png", image), (f"{uid}.out", b"{}")):
            await s3.put_object(Bucket=resources.output_bucket, Key=key, Body=body)
    return uid


def png() -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (8, 8), "orange").save(encoded, "PNG")
    return encoded.getvalue()


async def test_a_sound_task_that_was_told_twice_the_same_is_no_violation() -> None:
    resources = await provision("checks", [])
    uid = await completed(resources, png())
    callback = callback_of(uid, resources.output_bucket)

    findings = await check(
        [uid], {uid: [told(callback), told(dict(callback))]}, resources.table
    )

    assert findings.violations == []
    assert (findings.outcomes, findings.told_again) == ({"completed": 1}, 1)


async def test_each_kind_of_loss_is_found() -> None:
    resources = await provision("checks", [])
    bucket = resources.output_bucket
    lost, silent = new_uid(), await completed(resources, png())
    broken, gone = await completed(resources, png()[:45]), await completed(resources, png())
    other = await completed(resources, png())
    missing = {**callback_of(gone, bucket), "image_url": [f"s3://{bucket}/none.png"]}
    changed = [callback_of(other, bucket), {**callback_of(other, bucket), "status": "failed"}]
    callbacks: dict[str, list[Told]] = {
        broken: [told(callback_of(broken, bucket))],
        gone: [told(missing)],
        other: [told(each) for each in changed],
    }

    findings = await check([lost, silent, broken, gone, other], callbacks, resources.table)

    found = "\n".join(findings.violations)
    assert f"{lost}: no record" in found
    assert f"{silent}: no callback" in found
    assert f"{broken}: s3://{bucket}/{broken}.png does not decode" in found
    assert f"{gone}: s3://{bucket}/none.png: " in found
    assert f"{other}: 2 different callbacks" in found
