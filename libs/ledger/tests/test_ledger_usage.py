from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from ledger_fakes import DONE, FAILED, NOW, new_record

from contracts.cost import Cost
from contracts.ids import new_uid
from ledger.dynamodb import DynamoDbLedger
from ledger.memory import MemoryLedger
from ledger.record import CANCELLED, Record, Result
from ledger.usage import Counts, Used, uid_of, used_by

Counting = MemoryLedger | DynamoDbLedger
TODAY = NOW.date()


@pytest.fixture
def tenant() -> str:
    return f"tenant-{new_uid()}"


async def ended(
    ledger: Counting, tenant: str, result: Result, *, key: str = "bot", days: int = 0
) -> Record:
    created = await ledger.create(replace(new_record(), tenant=tenant, key=key))
    record, _ = await ledger.finish(created.uid, result, NOW + timedelta(days=days))
    assert record is not None
    return record


async def test_a_task_is_counted_once_however_often_its_callback_is_sent(
    ledger: Counting, tenant: str
) -> None:
    record = await ended(ledger, tenant, DONE)
    for _ in range(3):
        await ledger.mark_callback_sent(record, NOW)

    (used,) = await ledger.used(TODAY, TODAY, tenant=tenant)
    assert used == Used(
        tenant=tenant,
        key="bot",
        runtime=record.runtime,
        day=TODAY,
        counts=Counts(tasks=1, completed=1, images=2),
    )


async def test_tasks_that_end_at_once_are_all_counted(ledger: Counting, tenant: str) -> None:
    records = [await ended(ledger, tenant, DONE) for _ in range(30)]
    await asyncio.gather(*(ledger.mark_callback_sent(record, NOW) for record in records))

    (used,) = await ledger.used(TODAY, TODAY, tenant=tenant)
    assert used.counts == Counts(tasks=30, completed=30, images=60)
    # So many may be counted at a time without getting in each other's way.
    assert len({uid_of(record) for record in records}) > 1


def test_the_day_of_a_task_is_that_in_utc() -> None:
    late = datetime(2026, 1, 2, 23, 30, tzinfo=UTC)
    abroad = late.astimezone(timezone(timedelta(hours=2)))
    assert abroad.date() != late.date()
    assert used_by(replace(new_record(), finished_at=abroad)).day == late.date()


async def test_each_end_is_counted_as_what_it_was(ledger: Counting, tenant: str) -> None:
    for result in (DONE, FAILED, CANCELLED):
        await ledger.mark_callback_sent(await ended(ledger, tenant, result), NOW)

    (used,) = await ledger.used(TODAY, TODAY, tenant=tenant)
    assert used.counts == Counts(tasks=3, completed=1, failed=1, cancelled=1, images=2)


async def test_time_and_money_of_tasks_are_summed_up(ledger: Counting, tenant: str) -> None:
    for micros in (250, 500, None):
        created = await ledger.create(replace(new_record(), tenant=tenant))
        await ledger.begin(created.uid, NOW)
        currency = "USD" if micros else ""
        cost = Cost(gpu_ms=1500, micros=micros, currency=currency)
        record, _ = await ledger.finish(created.uid, replace(DONE, attempt=1, cost=cost), NOW)
        assert record is not None
        await ledger.mark_callback_sent(record, NOW)

    (used,) = await ledger.used(TODAY, TODAY, tenant=tenant)
    assert (used.counts.gpu_ms, used.counts.cost_micros, used.currency) == (4500, 750, "USD")


async def test_days_keys_and_tenants_are_told_apart(ledger: Counting, tenant: str) -> None:
    for key, days in (("bot", 0), ("bot", 1), ("bot", 2), ("site", 1), ("bot-2", 0)):
        record = await ended(ledger, tenant, DONE, key=key, days=days)
        await ledger.mark_callback_sent(record, NOW)
    await ledger.mark_callback_sent(await ended(ledger, f"{tenant}-2", DONE, days=1), NOW)

    tomorrow = TODAY + timedelta(days=1)
    of_days = await ledger.used(tomorrow, tomorrow + timedelta(days=1), tenant=tenant)
    of_key = await ledger.used(TODAY, tomorrow, tenant=tenant, key="bot")
    of_all = await ledger.used(tomorrow, tomorrow)

    assert [(used.key, (used.day - TODAY).days) for used in of_days] == [
        ("bot", 1),
        ("bot", 2),
        ("site", 1),
    ]
    assert [(used.key, (used.day - TODAY).days) for used in of_key] == [("bot", 0), ("bot", 1)]
    assert {tenant, f"{tenant}-2"} <= {used.tenant for used in of_all}


async def test_a_callback_that_was_not_due_counts_nothing(
    ledger: Counting, tenant: str
) -> None:
    open_one = await ledger.create(replace(new_record(), tenant=tenant))
    await ledger.mark_callback_sent(open_one, NOW)
    assert await ledger.used(TODAY, TODAY, tenant=tenant) == ()


async def test_what_was_used_does_not_stand_among_the_tasks(
    dynamodb: DynamoDbLedger, tenant: str
) -> None:
    record = await ended(dynamodb, tenant, DONE)
    await dynamodb.mark_callback_sent(record, NOW)
    answer = await dynamodb.client.scan(TableName=dynamodb.table, IndexName="by_runtime")
    assert [item for item in answer["Items"] if item["uid"]["S"].startswith("usage#")] == []
