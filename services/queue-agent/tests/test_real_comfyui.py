"""The adapter against a real ComfyUI that is running; the nodes used here need no model.

`DARKROOM_COMFYUI_URL` is its address.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from comfyui_jobs import ignore, job, node, runtime

from queue_agent.domain import TaskFailedError
from queue_agent.files.types import file_type
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime
from queue_agent.runtimes.http import RuntimeHttp, runtime_http

URL = os.environ.get("DARKROOM_COMFYUI_URL", "")
HASTE = 20  # prompts whose ends are all to be noticed at once

pytestmark = pytest.mark.skipif(not URL, reason="DARKROOM_COMFYUI_URL is not set")


@pytest.fixture
async def http() -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(URL) as opened:
        yield opened


def patient(http: RuntimeHttp) -> ComfyUiRuntime:
    return replace(runtime(http), silence=timedelta(seconds=30))  # the machine may be busy


def blank(**more: Any) -> dict[str, Any]:
    """A graph with a picture of its own, so that no cache answers it."""
    colour = secrets.randbelow(2**24)
    return {"1": node("EmptyImage", width=32, height=32, batch_size=1, color=colour), **more}


def saved(number: int = 1) -> dict[str, Any]:
    return blank(**{"2": node("SaveImage", images=["1", 0], filename_prefix=f"real-{number}")})


async def test_running_server_is_ready(http: RuntimeHttp) -> None:
    await patient(http).probe()


async def test_ends_are_noticed_at_once(http: RuntimeHttp) -> None:
    late = []
    for number in range(HASTE):
        start = time.monotonic()
        made = await patient(http).run(job(saved(number)), ignore)
        late.append(time.monotonic() - start)
        assert len(made.files) == 1

    assert max(late[1:]) < 0.5


async def test_latent_keeps_its_name(http: RuntimeHttp) -> None:
    latent = {
        "1": node("EmptyLatentImage", width=64, height=64, batch_size=1 + secrets.randbelow(8)),
        "2": node("SaveLatent", samples=["1", 0], filename_prefix="latents/real"),
    }

    [file] = (await patient(http).run(job(latent), ignore)).files

    kind = file_type(file.body, file.name)
    assert (kind.extension, kind.content_type) == ("latent", "application/octet-stream")


async def test_previews_only_are_told(http: RuntimeHttp) -> None:
    made = await patient(http).run(
        job(blank(**{"2": node("PreviewImage", images=["1", 0])})), ignore
    )

    assert not made.files
    assert "only previews" in made.why_nothing


async def test_images_over_the_websocket_are_told(http: RuntimeHttp) -> None:
    if not (await http.get("/object_info/SaveImageWebsocket")).body:
        pytest.skip("the server runs without its own custom nodes")
    made = await patient(http).run(
        job(blank(**{"2": node("SaveImageWebsocket", images=["1", 0])})), ignore
    )

    assert not made.files
    assert "SaveImageWebsocket" in made.why_nothing


@pytest.mark.parametrize("kind", ["PreviewImage", "SaveImageWebsocket"])
async def test_previews_are_results_if_they_are_kept(http: RuntimeHttp, kind: str) -> None:
    if not (await http.get(f"/object_info/{kind}")).body:
        pytest.skip("the server runs without its own custom nodes")
    two = blank(**{"2": node(kind, images=["1", 0])})
    two["1"]["inputs"] |= {"batch_size": 2, "width": 1500, "height": 1500}

    made = await patient(http).run(replace(job(two), keep_previews=True), ignore)

    kinds = [file_type(file.body).content_type for file in made.files]
    assert kinds == ["image/png", "image/png"]
    [shown] = made.answer["outputs"]["2"].values()
    assert [one["filename"] for one in shown] == [file.name for file in made.files]


async def test_values_are_results(http: RuntimeHttp) -> None:
    shown = {"1": node("PrimitiveInt", value=secrets.randbelow(9999))}
    shown["2"] = node("PreviewAny", source=["1", 0])

    made = await patient(http).run(job(shown), ignore)

    assert made.has_text
    assert made.answer["outputs"]["2"]["text"]


async def test_cycle_is_told(http: RuntimeHttp) -> None:
    cycle = {
        "1": node("ImageInvert", image=["2", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["1", 0], filename_prefix="cycle"),
    }

    async with asyncio.timeout(30):
        with pytest.raises(TaskFailedError, match="the graph has a cycle: 1 -> 2 -> 1"):
            await patient(http).run(job(cycle), ignore)
