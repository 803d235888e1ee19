from __future__ import annotations

import asyncio

from queue_agent.pipeline.slots import RuntimeSlot, Slots


async def test_runs_are_handed_over_in_order_and_one_is_at_work() -> None:
    slots = Slots(depth=1, width=2)
    handed_over: list[int] = []
    at_runtime: dict[int, RuntimeSlot] = {}
    ends = [asyncio.Event() for _ in range(3)]

    async def run(number: int) -> None:
        async with slots.runtime_slot(lambda: None) as slot:
            handed_over.append(number)
            at_runtime[number] = slot
            await ends[number].wait()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(run(number), name=f"run-{number}")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert handed_over == [0, 1], "the third has no slot yet"
        assert [at_runtime[0].started.is_set(), at_runtime[1].started.is_set()] == [True, False]
        ends[0].set()
        await at_runtime[1].started.wait()
        ends[1].set()
        ends[2].set()

    assert handed_over == [0, 1, 2]


async def test_run_that_gives_up_before_its_turn_holds_nobody_up() -> None:
    slots, started = Slots(depth=1, width=2), asyncio.Event()

    async with slots.runtime_slot(lambda: None):
        async with slots.runtime_slot(started.set):
            pass
        assert not started.is_set()

    async with slots.runtime_slot(started.set) as slot:
        assert started.is_set()
        await slot.release_early()
        slot.release()


async def test_depth_0_hands_over_one_run_at_a_time() -> None:
    slots = Slots(depth=0, width=2)

    async with slots.runtime_slot(lambda: None):
        waiting = slots.runtime_slot(lambda: None)
        try:
            async with asyncio.timeout(0.01):
                await waiting.__aenter__()
        except TimeoutError:
            return
    raise AssertionError("two runs were handed over")
