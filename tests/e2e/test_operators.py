"""What operators are told of a stack, by the client that applications have."""

from __future__ import annotations

import asyncio
import time

import pytest
from harness import Stack, pipeline

from darkroom_client import AsyncDarkroom, RuntimeOverview

SOON = 60  # seconds


@pytest.fixture
def operator(stack: Stack) -> AsyncDarkroom:
    return AsyncDarkroom(stack.info["endpoint"], stack.info["api_key"])


async def canvas(operator: AsyncDarkroom) -> RuntimeOverview:
    seen = {each.name: each for each in (await operator.overview()).runtimes}
    return seen["comfyruntime"]


async def test_a_task_that_ends_is_soon_in_the_overview(
    stack: Stack, operator: AsyncDarkroom
) -> None:
    async with operator:
        before = await canvas(operator)
        generated = await operator.generate({"task": pipeline("seen", seed=1)})
        deadline = time.monotonic() + SOON
        while (seen := await canvas(operator)).today.tasks == before.today.tasks:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)

    assert seen.last_hour.completed == before.last_hour.completed + 1
    assert sum(seen.last_hour.minutes) == sum(before.last_hour.minutes) + 1
    assert seen.last_hour.images == before.last_hour.images + len(generated.images)
    assert (seen.dead_letters, seen.queued) == (0, 0)


async def test_the_wait_of_a_task_that_no_agent_has_is_told(
    stack: Stack, operator: AsyncDarkroom
) -> None:
    with stack.held():
        async with operator:
            sent = [
                await operator.submit({"task": pipeline(f"waits-{number}", seed=number)})
                for number in range(6)
            ]
            deadline = time.monotonic() + SOON
            while not (seen := await canvas(operator)).oldest_wait_seconds:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)
            for each in sent:
                await operator.cancel(each.uid)

    assert seen.queued
    assert seen.running


async def test_a_task_can_be_submitted_again_by_its_request(
    stack: Stack, operator: AsyncDarkroom
) -> None:
    async with operator:
        first = await operator.generate({"task": pipeline("first-time", seed=7)})
        request = await operator.task_request("first-time")
        request["task"]["metadata"]["id"] = "second-time"
        second = await operator.generate(request)

    assert request["task"]["content"] == pipeline("first-time", seed=7)["content"]
    assert first.images[0].content == second.images[0].content
