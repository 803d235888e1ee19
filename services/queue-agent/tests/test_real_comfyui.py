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
from agent_on import OPTIONS, Agent, agent_on, until
from comfyui_jobs import ignore, job, node, queue
from queue_agent_fakes import whole

from queue_agent.domain import TaskFailedError
from queue_agent.files.types import file_type
from queue_agent.inputs.nodes import TABLE, read_definitions
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime, comfyui_parts
from queue_agent.runtimes.http import RuntimeHttp, runtime_http

URL = os.environ.get("DARKROOM_COMFYUI_URL", "")
HASTE = 20  # prompts whose ends are all to be noticed at once
POLL = timedelta(seconds=30)  # an end that only a poll finds is late
SILENCE = timedelta(seconds=60)  # a server that collects its garbage answers after seconds
SLOW_NODES = 60

pytestmark = pytest.mark.skipif(not URL, reason="DARKROOM_COMFYUI_URL is not set")


@pytest.fixture
async def http() -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(URL) as opened:
        yield opened


@pytest.fixture
async def agent(http: RuntimeHttp) -> AsyncIterator[Agent]:
    async with agent_on(comfyui_parts(http, OPTIONS)) as working:
        yield working


def runtime(http: RuntimeHttp) -> ComfyUiRuntime:
    return ComfyUiRuntime(http=http, poll=POLL, silence=SILENCE)


def blank(**more: Any) -> dict[str, Any]:
    """A graph with a picture of its own, so that no cache answers it."""
    colour = secrets.randbelow(2**24)
    return {"1": node("EmptyImage", width=32, height=32, batch_size=1, color=colour), **more}


def saved(number: int = 1) -> dict[str, Any]:
    return blank(**{"2": node("SaveImage", images=["1", 0], filename_prefix=f"real-{number}")})


def slow(nodes: int = SLOW_NODES) -> dict[str, Any]:
    """A graph of nodes that each take about a second, between which a server looks up."""
    size = {"width": 384, "height": 384, "batch_size": 1, "color": secrets.randbelow(2**24)}
    steps = {
        f"{number}": node(
            "ImageBlur", image=[f"{number - 1}", 0], blur_radius=15, sigma=number / 10
        )
        for number in range(1, nodes + 1)
    }
    end = node("SaveImage", images=[f"{nodes}", 0], filename_prefix="slow")
    return {"0": node("EmptyImage", **size), **steps, "end": end}


async def test_running_server_is_ready(http: RuntimeHttp) -> None:
    await runtime(http).probe()


async def test_ends_are_noticed_at_once(http: RuntimeHttp) -> None:
    for number in range(HASTE):
        async with asyncio.timeout(POLL.total_seconds() / 2):
            made = await runtime(http).run(job(saved(number)), ignore)
        assert len(made.files) == 1


async def test_latent_keeps_its_name(http: RuntimeHttp) -> None:
    latent = {
        "1": node("EmptyLatentImage", width=64, height=64, batch_size=1 + secrets.randbelow(8)),
        "2": node("SaveLatent", samples=["1", 0], filename_prefix="latents/real"),
    }

    [file] = (await runtime(http).run(job(latent), ignore)).files

    kind = file_type(file.body, file.name)
    assert (kind.extension, kind.content_type) == ("latent", "application/octet-stream")


async def test_previews_only_are_told(http: RuntimeHttp) -> None:
    made = await runtime(http).run(
        job(blank(**{"2": node("PreviewImage", images=["1", 0])})), ignore
    )

    assert not made.files
    assert "only previews" in made.why_nothing


async def test_images_over_the_websocket_are_told(http: RuntimeHttp) -> None:
    if not (await http.get("/object_info/SaveImageWebsocket")).body:
        pytest.skip("the server runs without its own custom nodes")
    made = await runtime(http).run(
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

    made = await runtime(http).run(replace(job(two), keep_previews=True), ignore)

    kinds = [file_type(file.body).content_type for file in made.files]
    assert kinds == ["image/png", "image/png"]
    [shown] = made.answer["outputs"]["2"].values()
    assert [one["filename"] for one in shown] == [file.name for file in made.files]


async def test_values_are_results(http: RuntimeHttp) -> None:
    shown = {"1": node("PrimitiveInt", value=secrets.randbelow(9999))}
    shown["2"] = node("PreviewAny", source=["1", 0])

    made = await runtime(http).run(job(shown), ignore)

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
            await runtime(http).run(job(cycle), ignore)


async def works(http: RuntimeHttp) -> bool:
    return bool((await http.get("/queue")).body["queue_running"])


async def has_nothing(http: RuntimeHttp) -> bool:
    return not await queue(http)


async def test_cancelled_prompt_ends_at_the_server(http: RuntimeHttp, agent: Agent) -> None:
    uid = agent.submit(slow())
    await agent.works(uid, lambda: works(http))

    agent.cancel(uid)

    assert await agent.ended(uid) == "cancelled"
    await until(lambda: has_nothing(http))
    assert await agent.ended(agent.submit(saved())) == "completed"


async def test_prompt_ends_at_its_limit(http: RuntimeHttp, agent: Agent) -> None:
    uid = agent.submit(slow(), timeout_seconds=3)

    assert await agent.ended(uid) == "timeout"
    await until(lambda: has_nothing(http))


async def test_limit_counts_from_when_the_server_begins(
    http: RuntimeHttp, agent: Agent
) -> None:
    await http.post("/prompt", json={"prompt": slow(30)})
    await until(lambda: works(http))
    start = time.monotonic()

    uid = agent.submit(saved(), timeout_seconds=3)

    assert await agent.ended(uid) == "completed"
    assert time.monotonic() - start > 3, "the prompt before it was done too soon"


@pytest.mark.parametrize("name", ["a.png", "a.wav", "a.mp4", "3d/a.glb"])
async def test_file_of_any_kind_is_taken_under_the_name_in_the_answer(
    http: RuntimeHttp, name: str
) -> None:
    body = secrets.token_bytes(100)

    taken = await runtime(http).upload(name, body)

    folder, _, base = taken.rpartition("/")
    assert (folder, base[:1]) == (name.rpartition("/")[0], "a")
    place = {"filename": base, "subfolder": folder, "type": "input"}
    file = await http.get_file("/view", place)
    assert file is not None
    assert whole(file) == body


async def test_loaders_say_what_they_load(http: RuntimeHttp) -> None:
    """What the table of loaders says of the core's nodes is what the server says."""
    definitions = (await http.get("/object_info")).body

    known = read_definitions(definitions)

    core = {"LoadImage", "LoadAudio", "LoadVideo", "Load3D"} & definitions.keys()
    assert core
    assert {name: known[name] for name in core} == {name: TABLE[name] for name in core}
