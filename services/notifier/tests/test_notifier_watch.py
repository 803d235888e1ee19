from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notifier_fakes import DONE, NOW, UID, World

from contracts.ids import new_uid
from contracts.state import Progress, TaskState
from ledger.record import Record
from servicekit.errors import RejectedError, TransientError

SOON = timedelta(milliseconds=1)


async def sequences(changes: AsyncGenerator[Record, None]) -> list[int]:
    async with asyncio.timeout(60):
        return [record.sequence async for record in changes]


async def test_a_watcher_gets_the_record_now_and_after_a_change_of_this_process(
    world: World,
) -> None:
    async with aclosing(world.watch()(UID, 0)) as changes:
        first = await anext(changes)
        await world.settle.begin(UID, "agent-1")
        second = await anext(changes)
    assert first.state is TaskState.QUEUED
    assert second.state is TaskState.RUNNING
    assert world.changes.watchers == 0


async def test_a_change_by_another_process_is_seen_at_the_next_poll(world: World) -> None:
    async with aclosing(world.watch(SOON)(UID, 0)) as changes, asyncio.timeout(60):
        await anext(changes)
        await world.ledger.mark_cancelled(UID)
        assert (await anext(changes)).cancel_requested


async def test_progress_is_a_change(world: World) -> None:
    await world.ledger.begin(UID, NOW)
    async with aclosing(world.watch()(UID, 0)) as changes:
        await anext(changes)
        await world.settle.report(UID, 1, Progress(step=1, total=2))
        assert (await anext(changes)).progress == Progress(step=1, total=2)


async def test_a_change_between_two_looks_is_not_missed(world: World) -> None:
    async with aclosing(world.watch()(UID, 0)) as changes, asyncio.timeout(60):
        await anext(changes)
        await world.settle.begin(UID, "agent-1")
        await world.settle.finish(UID, DONE)
        assert [record.state async for record in changes] == [TaskState.COMPLETED]


@pytest.mark.parametrize(("after", "given"), [(0, [3]), (2, [3]), (3, []), (9, [])])
async def test_a_watcher_of_an_ended_task_gets_what_it_has_not_seen(
    world: World, after: int, given: list[int]
) -> None:
    await world.ledger.begin(UID, NOW)
    await world.ledger.finish(UID, DONE, NOW)
    assert await sequences(world.watch()(UID, after)) == given


async def test_a_watcher_that_resumes_waits_for_news(world: World) -> None:
    async with aclosing(world.watch()(UID, 1)) as changes, asyncio.TaskGroup() as group:
        waiting = group.create_task(anext(changes), name="watch")
        await asyncio.sleep(0)
        assert not waiting.done()
        await world.settle.begin(UID, "agent-1")
        assert (await waiting).sequence == 2


async def test_the_end_of_the_process_ends_all_watchers(world: World) -> None:
    async with aclosing(world.watch()(UID, 0)) as changes:
        await anext(changes)
        world.changes.close()
        with pytest.raises(TransientError, match="stops"):
            await anext(changes)


async def test_a_task_without_a_record_cannot_be_watched(world: World) -> None:
    with pytest.raises(RejectedError) as caught:
        await anext(world.watch()(new_uid(), 0))
    assert caught.value.code == "task_not_found"


async def test_the_number_of_watchers_is_bounded_and_a_place_becomes_free(
    world: World,
) -> None:
    async with aclosing(world.watch(limit=1)(UID, 0)) as changes:
        await anext(changes)
        with pytest.raises(TransientError):
            await anext(world.watch(limit=1)(UID, 0))
    async with aclosing(world.watch(limit=1)(UID, 0)) as changes:
        await anext(changes)


@given(after=st.integers(0, 6), ends=st.booleans(), steps=st.integers(0, 3))
async def test_a_watcher_that_resumes_anywhere_sees_the_last_change_and_none_twice(
    after: int, ends: bool, steps: int
) -> None:
    world = World()
    await world.ledger.begin(UID, NOW)
    for step in range(steps):
        await world.ledger.report(UID, 1, Progress(step=step, total=9))
    if ends:
        await world.ledger.finish(UID, DONE, NOW)
    else:
        world.ledger.records[UID] = replace(world.record, state=TaskState.FAILED)
    last = world.record.sequence
    assert await sequences(world.watch()(UID, after)) == [last] * (last > after)
