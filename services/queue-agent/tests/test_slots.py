from __future__ import annotations

import asyncio

from queue_agent.pipeline.slots import Line, Turn


async def test_turns_are_given_in_order_and_one_run_is_at_work() -> None:
    line = Line(depth=1, width=2)
    handed_over: list[int] = []
    turns: dict[int, Turn] = {}
    ends = [asyncio.Event() for _ in range(3)]

    async def run(number: int) -> None:
        async with line.turn(lambda: None) as turn:
            handed_over.append(number)
            turns[number] = turn
            await ends[number].wait()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(run(number), name=f"run-{number}")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert handed_over == [0, 1], "the third has no place yet"
        assert [turns[0].begun.is_set(), turns[1].begun.is_set()] == [True, False]
        ends[0].set()
        await turns[1].begun.wait()
        ends[1].set()
        ends[2].set()

    assert handed_over == [0, 1, 2]


async def test_run_that_gives_up_before_its_turn_holds_nobody_up() -> None:
    line, began = Line(depth=1, width=2), asyncio.Event()

    async with line.turn(lambda: None):
        async with line.turn(began.set):
            pass
        assert not began.is_set()

    async with line.turn(began.set) as turn:
        assert began.is_set()
        await turn.free()
        turn.leave()


async def test_depth_0_hands_over_one_run_at_a_time() -> None:
    line = Line(depth=0, width=2)

    async with line.turn(lambda: None):
        waiting = line.turn(lambda: None)
        try:
            async with asyncio.timeout(0.01):
                await waiting.__aenter__()
        except TimeoutError:
            return
    raise AssertionError("two runs were handed over")
