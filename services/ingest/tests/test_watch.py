from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest
from ingest_fakes import UID, World, change

from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskProgress
from servicekit.errors import RejectedError, TransientError

AWAY = TransientError("the notifier is away")
DONE = change(5, state=TaskState.COMPLETED, progress=None)
SOON = timedelta(milliseconds=1)
LONG = timedelta(seconds=10)


async def told(world: World, after: int = 0) -> list[tuple[int, bool]]:
    async with asyncio.timeout(60):
        changes = world.watches.follow(UID, after)
        return [(each.sequence, each.state_changed) async for each in changes]


async def test_a_stream_that_breaks_is_taken_up_where_it_was(world: World) -> None:
    world.notifier.tell(
        change(2), AWAY, change(3, progress=TaskProgress(step=2, total=3)), AWAY
    )
    world.notifier.tell(AWAY, DONE)
    assert await told(world, 1) == [(2, True), (3, False), (5, True)]
    assert world.notifier.asked == [(UID, 1), (UID, 2), (UID, 3), (UID, 3)]
    assert (world.watches.open, world.notifier.open) == (0, 0)


async def test_another_attempt_is_a_change_of_state(world: World) -> None:
    world.notifier.tell(change(2), change(3, attempt=2), DONE)
    world.notifier.tell(None)
    assert await told(world) == [(2, True), (3, True), (5, True)]


async def test_a_stream_that_the_notifier_ends_is_ended(world: World) -> None:
    world.notifier.tell(None)
    assert await told(world, 5) == []


async def test_an_outage_that_lasts_ends_the_stream() -> None:
    world = World(patience=timedelta(0))
    world.notifier.tell(AWAY, AWAY)
    with pytest.raises(TransientError, match="away"):
        await told(world)
    assert world.watches.open == 0


async def test_a_task_without_a_change_is_watched_for_as_long_as_it_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("ingest.watch.monotonic", lambda: now)
    world.notifier.tell(change(1))
    async with asyncio.timeout(60), aclosing(world.watches.follow(UID, 0)) as changes:
        await anext(changes)
        for _ in range(3):
            waiting = asyncio.ensure_future(anext(changes))
            await world.notifier.entered.wait()
            world.notifier.entered.clear()
            now += 300  # the connection lasts that long
            world.notifier.tell(AWAY)
            await world.notifier.closed.wait()
            world.notifier.closed.clear()
            await world.notifier.entered.wait()
            world.notifier.tell(change(world.notifier.asked[-1][1] + 1))
            await waiting


async def test_a_refusal_ends_the_stream(world: World) -> None:
    world.notifier.tell(RejectedError("none", code="task_not_found"))
    with pytest.raises(RejectedError):
        await told(world)


async def test_the_number_of_streams_is_bounded_and_a_place_becomes_free() -> None:
    world = World(streams=1)
    world.notifier.tell(change(1))
    async with aclosing(world.watches.follow(UID, 0)) as changes:
        await anext(changes)
        with pytest.raises(TransientError, match="too many"):
            await told(world)
    world.notifier.tell(DONE, None)
    assert await told(world) == [(5, True)]


@pytest.mark.parametrize("broken", [False, True])
async def test_closing_ends_all_streams_and_begins_none(world: World, broken: bool) -> None:
    world.notifier.tell(change(1))
    async with asyncio.timeout(60), aclosing(world.watches.follow(UID, 0)) as changes:
        await anext(changes)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(anext(changes, None), name="watch")
            if broken:
                world.notifier.tell(AWAY)
                await world.notifier.closed.wait()
            await asyncio.sleep(0)
            world.watches.close()
            assert await waiting is None
    with pytest.raises(TransientError):
        await told(world)


async def test_the_outcome_is_the_ended_task(world: World) -> None:
    world.notifier.tell(change(1), DONE)
    assert await world.watches.outcome(UID, LONG) == DONE.task


@pytest.mark.parametrize("error", [None, RejectedError("none", code="task_not_found")])
async def test_an_outcome_that_is_not_known_in_time_is_none(
    world: World, error: Exception | None
) -> None:
    world.notifier.tell(change(1), error)
    assert await world.watches.outcome(UID, LONG) is None
    assert await world.watches.outcome(UID, SOON) is None
    assert world.watches.open == 0
