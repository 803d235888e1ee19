"""`comfy-api-simplified`, a client of ComfyUI as it is, against a whole stack."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
import websockets
from comfy_api_simplified import (  # type: ignore[import-untyped]
    ComfyApiError,
    ComfyApiWrapper,
)
from harness import Stack, pipeline
from PIL import Image

from contracts.ids import new_uid

SECONDS = 120


@pytest.fixture
def api(stack: Stack) -> ComfyApiWrapper:
    """The client, which asks at the root and sends the key as the password of a user."""
    return ComfyApiWrapper(
        f"{stack.info['endpoint']}/", user="anyone", password=stack.info["api_key"]
    )


def graph(seed: int) -> dict[str, Any]:
    """A graph whose nodes have titles, by which the client knows them."""
    nodes: dict[str, Any] = pipeline("unused", seed=seed)["content"]["prompt"]
    return {
        name: {**node, "_meta": {"title": node["class_type"]}} for name, node in nodes.items()
    }


async def called(call: Callable[..., Any], *arguments: Any) -> Any:
    async with asyncio.timeout(SECONDS):
        return await asyncio.to_thread(call, *arguments)


async def test_prompt_is_queued_waited_for_and_its_image_is_viewed(
    api: ComfyApiWrapper,
) -> None:
    images = await called(api.queue_and_wait_images, graph(71), "SaveImage")

    [(name, content)] = images.items()
    assert name.endswith(".png")
    assert Image.open(BytesIO(content)).format == "PNG"
    assert await called(api.get_queue) == {"queue_running": [], "queue_pending": []}


async def test_nodes_and_system_are_listed(api: ComfyApiWrapper) -> None:
    deadline = time.monotonic() + SECONDS
    nodes: dict[str, Any] = {}
    while not nodes and time.monotonic() < deadline:
        with suppress(ComfyApiError):  # before an agent has looked
            nodes = await called(api.get_object_info)
        await asyncio.sleep(0.1)

    assert nodes["SaveImage"]["output_node"] is True
    assert await called(api.get_object_info, "SaveImage") == {"SaveImage": nodes["SaveImage"]}
    assert "system" in await called(api.get_system_stats)


async def test_client_that_reconnects_is_told_what_follows(
    api: ComfyApiWrapper, stack: Stack
) -> None:
    client, kinds = new_uid(), []
    url = stack.info["endpoint"].replace("http", "ws", 1)
    headers = {"authorization": f"Bearer {stack.info['api_key']}"}

    def connected() -> websockets.connect:
        return websockets.connect(
            f"{url}/runtimes/comfyruntime/comfy/ws?clientId={client}",
            additional_headers=headers,
            proxy=None,
        )

    async with asyncio.timeout(SECONDS):
        with stack.held():
            async with connected() as socket:
                prompt = await called(api.queue_prompt, graph(72), client)
                while "execution_start" not in kinds:
                    kinds.append(json.loads(await socket.recv())["type"])
        async with connected() as socket:
            seen: dict[str, Any] = {}
            while "executing" not in seen:
                told = json.loads(await socket.recv())
                seen[told["type"]] = told["data"]

    assert seen["executing"] == {"node": None, "prompt_id": prompt["prompt_id"]}
    assert "execution_success" in seen
    history = await called(api.get_history, prompt["prompt_id"])
    assert history[prompt["prompt_id"]]["outputs"] == {
        seen["executed"]["node"]: seen["executed"]["output"]
    }


async def test_an_interrupt_ends_the_prompt_that_runs(
    api: ComfyApiWrapper, stack: Stack
) -> None:
    with stack.held():
        prompt = await called(api.queue_prompt, graph(73))
        await stack.until(prompt["prompt_id"], "running")
        await called(api.interrupt)
        await stack.until(prompt["prompt_id"], "cancelled")

    history = await called(api.get_history, prompt["prompt_id"])
    assert history[prompt["prompt_id"]]["status"]["messages"][-1][0] == "execution_interrupted"
