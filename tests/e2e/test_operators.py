"""What operators are told of a stack, by the client that applications have."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import time

import pytest
from harness import Stack, pipeline

from darkroom_client import AsyncDarkroom, InvalidRequest, RuntimeOverview

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


async def test_the_keys_of_a_stack_are_told_without_themselves(
    stack: Stack, operator: AsyncDarkroom
) -> None:
    async with operator:
        keys = await operator.keys()

    assert ("embedded", "admin") in {(key.tenant, key.scope) for key in keys}
    assert stack.info["api_key"] not in str([key.raw for key in keys])


async def test_a_model_that_is_sent_is_in_the_catalogue(operator: AsyncDarkroom) -> None:
    tensor = {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}
    header = json.dumps({"weight": tensor}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(8)
    sent: list[tuple[int, int]] = []
    async with operator:
        await operator.upload_model(
            io.BytesIO(content),
            "Lora/sent.safetensors",
            progress=lambda *told: sent.append(told),
        )
        with pytest.raises(InvalidRequest) as refused:
            await operator.upload_model(io.BytesIO(content), "../sent.safetensors")
        deadline = time.monotonic() + SOON
        while not (found := [m for m in await operator.models() if m.kind == "Lora"]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)

    assert sent == [(len(content), len(content))]
    assert [error.field for error in refused.value.errors] == ["name"]
    assert [(model.name, model.valid) for model in found] == [("sent.safetensors", True)]
