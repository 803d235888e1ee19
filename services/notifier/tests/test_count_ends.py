from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from notifier_fakes import DONE, FAILED, NOW, RECORD, UID, World

from contracts.state import TaskState
from ledger.recent import EVERYBODY, Place, total
from ledger.recent_memory import MemoryRecentEnds
from ledger.record import Record
from ledger.usage import Counts
from notifier.recent import MOST, CountEnds
from servicekit.errors import TransientError

ENDED = replace(RECORD, state=TaskState.COMPLETED, finished_at=NOW, image_url=("a", "b"))
RUNTIME = RECORD.runtime


class FlakyRecentEnds(MemoryRecentEnds):
    """Takes nothing as long as it is down."""

    down = True

    async def add(self, place: Place, minutes: Mapping[int, Counts]) -> None:
        if self.down:
            raise TransientError("the table is out of reach")
        await super().add(place, minutes)


async def told(recent: MemoryRecentEnds, tenant: str) -> Counts:
    return total((await recent.last_hour(tenant, [RUNTIME], NOW))[RUNTIME])


async def test_a_task_is_counted_once_by_whoever_ended_it(world: World) -> None:
    for result in (FAILED, DONE, FAILED):
        await world.settle.finish(UID, result)

    assert [record.state for record in world.counted] == [TaskState.FAILED]


async def test_what_ended_is_added_for_its_tenant_and_for_everybody() -> None:
    recent = MemoryRecentEnds()
    ends = CountEnds(recent)
    for tenant in ("studio", "rival"):
        ends.count(replace(ENDED, tenant=tenant))

    assert (await told(recent, EVERYBODY)).tasks == 0
    await ends.flush()
    await ends.flush()

    assert await told(recent, "studio") == Counts(tasks=1, completed=1, images=2)
    assert (await told(recent, EVERYBODY)).tasks == 2


async def test_what_cannot_be_added_is_added_later() -> None:
    recent = FlakyRecentEnds()
    ends = CountEnds(recent)
    ends.count(ENDED)
    await ends.flush()
    ends.count(ENDED)
    recent.down = False
    await ends.flush()

    assert [(await told(recent, whose)).tasks for whose in ("studio", EVERYBODY)] == [2, 2]


async def test_what_was_counted_last_is_added_at_the_stop() -> None:
    recent, stop = MemoryRecentEnds(), asyncio.Event()
    ends = CountEnds(recent, interval=timedelta(days=1))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(ends.run_until_stopped(stop), name="count-ends")
        await asyncio.sleep(0)
        ends.count(ENDED)
        stop.set()

    assert (await told(recent, EVERYBODY)).tasks == 1


async def test_an_outage_does_not_fill_the_memory() -> None:
    ends = CountEnds(FlakyRecentEnds())
    for number in range(MOST):
        ends.count(_of(f"tenant-{number}"))

    assert len(ends._ends.counts) <= MOST + 1


def _of(tenant: str) -> Record:
    return replace(ENDED, tenant=tenant)
