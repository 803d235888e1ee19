from __future__ import annotations

import asyncio

import pytest

from queue_agent.pipeline.slots import Slots

NOTHING = (lambda: None, lambda: None)


async def test_runs_are_handed_over_in_order_and_one_is_at_work() -> None:
    slots = Slots(depth=1, width=2)
    handed_over: list[int] = []
    ends = [asyncio.Event() for _ in range(3)]

    async def run(number: int) -> None:
        async with slots.runtime_slot(*NOTHING):
            handed_over.append(number)
            await ends[number].wait()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(run(number), name=f"run-{number}")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert handed_over == [0, 1], "the third has no slot yet"
        for end in ends:
            end.set()

    assert handed_over == [0, 1, 2]


async def test_run_counts_from_when_the_runtime_begins_with_it() -> None:
    slots, told = Slots(depth=1, width=2), list[str]()

    def begun() -> None:
        told.append("begun")

    def done() -> None:
        told.append("done")

    async with slots.runtime_slot(begun, done) as waiting:
        assert not waiting.started.is_set()
    assert (told, waiting.seconds) == ([], 0)

    async with slots.runtime_slot(begun, done) as slot:
        slot.start()
        slot.start()
        await slot.release_early()
        slot.release()
    assert told == ["begun", "done"]
    assert slot.seconds > 0


async def test_run_that_fails_is_not_told_to_be_done() -> None:
    told: list[str] = []

    with pytest.raises(ZeroDivisionError):
        async with Slots(depth=1).runtime_slot(lambda: None, lambda: told.append("done")):
            raise ZeroDivisionError

    assert told == []


async def test_depth_0_hands_over_one_run_at_a_time() -> None:
    slots = Slots(depth=0, width=2)

    async with slots.runtime_slot(*NOTHING):
        waiting = slots.runtime_slot(*NOTHING)
        try:
            async with asyncio.timeout(0.01):
                await waiting.__aenter__()
        except TimeoutError:
            return
    raise AssertionError("two runs were handed over")


async def test_two_runs_that_overlap_share_the_time_of_the_runtime() -> None:
    slots, clock = Slots(depth=1, width=2), asyncio.get_running_loop().time
    began = clock()
    async with slots.runtime_slot(*NOTHING) as first:
        first.start()
        await asyncio.sleep(0.01)
        async with slots.runtime_slot(*NOTHING) as second:
            second.start()
            await asyncio.sleep(0.01)
            first.release()
            await asyncio.sleep(0.01)

    assert first.seconds >= 0.02
    assert second.seconds >= 0.01
    assert first.seconds + second.seconds <= clock() - began
