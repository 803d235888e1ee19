from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ledger_fakes import FAILED, NOW, new_record

from contracts.ids import Uid
from contracts.state import Progress, TaskState
from ledger.dynamodb import DynamoDbLedger
from ledger.items import to_item, to_record
from ledger.port import OfRuntime
from ledger.record import Record


async def test_an_item_expires_30_days_after_the_task_was_accepted(
    dynamodb: DynamoDbLedger,
) -> None:
    record = await dynamodb.create(new_record())
    await dynamodb.begin(record.uid, NOW + timedelta(days=1))
    await dynamodb.finish(record.uid, FAILED, NOW + timedelta(days=2))

    answer = await dynamodb.client.get_item(
        TableName=dynamodb.table, Key={"uid": {"S": record.uid}}
    )
    described = await dynamodb.client.describe_time_to_live(TableName=dynamodb.table)

    expected = int((NOW + timedelta(days=30)).timestamp())
    assert answer["Item"]["expires_at"] == {"N": str(expected)}
    assert described["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expires_at",
    }


async def test_a_rare_state_is_found_behind_many_records_of_another(
    dynamodb: DynamoDbLedger,
) -> None:
    runtime = "rare"
    oldest = await dynamodb.create(new_record(runtime=runtime))
    await dynamodb.begin(oldest.uid, NOW)
    for _ in range(30):
        await dynamodb.create(new_record(runtime=runtime))
    found: list[Record] = []
    before: Uid | None = None
    pages = 0
    while True:
        page = await dynamodb.page(
            OfRuntime(runtime=runtime), state=TaskState.RUNNING, limit=1, before=before
        )
        found += page.records
        before = page.next_before
        pages += 1
        if before is None:
            break
    assert [record.uid for record in found] == [oldest.uid]
    assert pages > 1  # one page reads a bounded number of records


def test_every_field_of_a_record_comes_back_from_its_item() -> None:
    record = replace(
        new_record(),
        state=TaskState.FAILED,
        attempt=3,
        started_at=NOW,
        finished_at=NOW,
        image_url=("s3://b/1.png",),
        output_url="s3://b/x.out",
        error=FAILED.error,
        progress=Progress(step=1, total=2),
        callback_due=True,
        sequence=9,
        cancel_requested=True,
        receives=4,
        released_attempt=2,
        failures=1,
        interruptions=1,
        last_reason="stop",
        warnings=("another sampler",),
        key="bot",
    )
    assert to_record(to_item(record)) == record
    assert to_record(to_item(new_record())).started_at is None


async def test_an_item_of_an_older_release_is_read_and_changed(
    dynamodb: DynamoDbLedger,
) -> None:
    record = new_record()
    item = to_item(record)
    for added in (
        "sequence", "cancel_requested", "receives", "released_attempt", "failures",
        "interruptions",
    ):  # fmt: skip
        del item[added]
    await dynamodb.client.put_item(TableName=dynamodb.table, Item=item)
    assert await dynamodb.get(record.uid) == record

    begun = await dynamodb.begin(record.uid, NOW)

    assert begun == replace(
        record, state=TaskState.RUNNING, attempt=1, started_at=NOW, sequence=2
    )
    marked = await dynamodb.mark_cancelled(record.uid)
    assert marked == replace(begun, cancel_requested=True, sequence=3)


async def test_what_is_not_due_is_not_in_the_index(dynamodb: DynamoDbLedger) -> None:
    record = await dynamodb.create(new_record())
    ended, _ = await dynamodb.finish(record.uid, FAILED, NOW)
    assert ended is not None
    key = {"uid": {"S": record.uid}}
    due = await dynamodb.client.get_item(TableName=dynamodb.table, Key=key)
    await dynamodb.mark_callback_sent(ended, NOW)
    told = await dynamodb.client.get_item(TableName=dynamodb.table, Key=key)
    assert "due_since" in due["Item"]
    assert "due_since" not in told["Item"]
