from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from ledger_fakes import NOW, new_record

from contracts.ids import new_uid
from ledger.dynamodb import DynamoDbLedger
from ledger.port import Ledger
from ledger.recent import EVERYBODY, MINUTE, Ends, RecentEnds, total
from ledger.recent_dynamodb import DynamoDbRecentEnds
from ledger.recent_memory import MemoryRecentEnds
from ledger.usage import Counts

ONE = Counts(tasks=1, completed=1, images=2, gpu_ms=700)
LOST = Counts(tasks=1, failed=1)


@pytest.fixture(params=["memory", "dynamodb"])
def recent(request: pytest.FixtureRequest) -> RecentEnds:
    if request.param == "memory":
        return MemoryRecentEnds()
    ledger: DynamoDbLedger = request.getfixturevalue("dynamodb")
    return DynamoDbRecentEnds(ledger=ledger)


async def add(recent: RecentEnds, ends: Ends) -> None:
    for place, minutes in ends.counts.items():
        await recent.add(place, minutes)


async def test_the_last_hour_is_told_minute_by_minute_over_the_full_hour(
    recent: RecentEnds,
) -> None:
    runtime, ends = f"runtime-{new_uid()}", Ends()
    for back in (0, 0, 5, 59, 60):
        ends.add("studio", runtime, NOW - back * MINUTE, ONE)
    await add(recent, ends)

    told = (await recent.last_hour("studio", [runtime, "idle"], NOW))[runtime]

    assert [each.tasks for each in told] == [1, *[0] * 53, 1, *[0] * 4, 2]
    assert total(told) == Counts(tasks=4, completed=4, images=8, gpu_ms=2800)


async def test_what_is_added_later_is_added_to_it(recent: RecentEnds) -> None:
    runtime = f"runtime-{new_uid()}"
    for counts in (ONE, LOST, Counts(tasks=1, cancelled=1), Counts()):
        ends = Ends()
        ends.add("studio", runtime, NOW, counts)
        await add(recent, ends)

    told = (await recent.last_hour("studio", [runtime], NOW))[runtime]

    assert told[-1] == Counts(tasks=3, completed=1, failed=1, cancelled=1, images=2, gpu_ms=700)


async def test_each_tenant_has_its_own_and_everybody_all(recent: RecentEnds) -> None:
    runtime, ends = f"runtime-{new_uid()}", Ends()
    ends.add("studio", runtime, NOW, ONE)
    ends.add("rival", runtime, NOW, LOST)
    await add(recent, ends)

    for tenant, tasks in (("studio", 1), ("rival", 1), (EVERYBODY, 2), ("nobody", 0)):
        told = await recent.last_hour(tenant, [runtime, "idle"], NOW)
        assert total(told[runtime]).tasks == tasks
        assert total(told["idle"]) == Counts()


async def test_the_oldest_task_that_waits_is_found_among_the_newest(ledger: Ledger) -> None:
    runtime = f"runtime-{new_uid()}"
    times = [NOW - timedelta(minutes=back) for back in (30, 20, 10)]
    uids = sorted(new_uid() for _ in times)
    made = []
    for uid, time in zip(uids, times, strict=True):
        record = replace(new_record(runtime=runtime), uid=uid, created_at=time)
        made.append(await ledger.create(record))

    assert await ledger.waiting_since(runtime, 3) == times[0]
    assert await ledger.waiting_since(runtime, 2) == times[1]
    await ledger.begin(made[0].uid, NOW)
    await ledger.begin(made[1].uid, NOW, staged=True)
    assert await ledger.waiting_since(runtime, 3) == times[1]
    assert await ledger.waiting_since(f"{runtime}-2", 3) is None
