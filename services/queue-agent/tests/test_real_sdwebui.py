"""The agent on an SD WebUI that runs; with two checkpoints it is told to change them.

`DARKROOM_SDWEBUI_URL` is its address.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agent_on import OPTIONS, Agent, agent_on, until
from PIL import Image

from contracts.ids import Uid
from contracts.kinds import TaskType
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.sdwebui.runtime import sdwebui_parts

URL = os.environ.get("DARKROOM_SDWEBUI_URL", "")
SMALL = {"width": 64, "height": 64, "steps": 2, "seed": 7}
LONG = {**SMALL, "steps": 150, "n_iter": 50}  # no server is done with it while a test looks

pytestmark = pytest.mark.skipif(not URL, reason="DARKROOM_SDWEBUI_URL is not set")


@pytest.fixture
async def http() -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(URL) as opened:
        yield opened


@pytest.fixture
async def agent(http: RuntimeHttp) -> AsyncIterator[Agent]:
    async with agent_on(sdwebui_parts(http, OPTIONS)) as working:
        yield working


def draw(agent: Agent, **content: Any) -> Uid:
    return agent.submit({**SMALL, "prompt": "a dog", **content}, TaskType.TEXT_TO_IMAGE)


def size(image: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(image)) as picture:
        return picture.size


async def is_busy(http: RuntimeHttp) -> bool:
    progress = (await http.get("/sdapi/v1/progress")).body
    return bool(progress["state"]["job"])


async def is_idle(http: RuntimeHttp) -> bool:
    return not await is_busy(http)


async def test_text_and_then_the_image_become_images(agent: Agent) -> None:
    first = draw(agent, batch_size=2)
    assert await agent.ended(first) == "completed"
    drawn = agent.files(first)
    source = base64.b64encode(drawn[0]).decode()
    content = {**SMALL, "width": 128, "prompt": "a cat", "init_images": [source]}

    again = agent.submit(content, TaskType.IMAGE_TO_IMAGE)

    assert await agent.ended(again) == "completed"
    assert [size(one) for one in drawn] == [(64, 64)] * 2
    assert [size(one) for one in agent.files(again)] == [(128, 64)]


async def test_cancelled_run_ends_at_the_server(http: RuntimeHttp, agent: Agent) -> None:
    uid = draw(agent, **LONG)
    await agent.works(uid, lambda: is_busy(http))

    agent.cancel(uid)

    assert await agent.ended(uid) == "cancelled"
    await until(lambda: is_idle(http))
    assert not agent.files(uid)
    assert await agent.ended(draw(agent)) == "completed"


async def test_run_ends_at_its_limit(http: RuntimeHttp, agent: Agent) -> None:
    start = time.monotonic()
    content = {**LONG, "prompt": "a dog"}

    uid = agent.submit(content, TaskType.TEXT_TO_IMAGE, timeout_seconds=3)

    assert await agent.ended(uid) == "timeout"
    assert 3 <= time.monotonic() - start < 30
    await until(lambda: is_idle(http))


async def test_model_that_it_has_not_is_refused(agent: Agent) -> None:
    uid = agent.submit(SMALL, TaskType.TEXT_TO_IMAGE, checkpoint="no-such.safetensors")

    assert await agent.ended(uid) == "model_not_found"


async def test_unknown_sampler_is_told(agent: Agent) -> None:
    uid = draw(agent, sampler_name="No such")

    assert await agent.ended(uid) in {"completed", "runtime_rejected"}
    stored = agent.room.notifier.ends[uid]
    assert "No such" in "".join(stored.warnings) + str(stored.failure)


async def test_each_task_gets_the_model_that_it_names(http: RuntimeHttp, agent: Agent) -> None:
    listed = (await http.get("/sdapi/v1/sd-models")).body
    if len(listed) == 1:
        pytest.skip("the server has one checkpoint")
    wanted = [model["title"] for model in (*listed[:2], *listed[:2])]

    uids = [agent.submit(SMALL, TaskType.TEXT_TO_IMAGE, checkpoint=title) for title in wanted]

    endings = await asyncio.gather(*map(agent.ended, uids))
    assert endings == ["completed"] * len(wanted)
    assert [model_of(agent, uid) for uid in uids] == [
        model["model_name"] for model in (*listed[:2], *listed[:2])
    ]


def model_of(agent: Agent, uid: Uid) -> str:
    url = agent.room.notifier.ends[uid].output_url
    document = json.loads(agent.room.store.objects[url.split("/", 3)[3]][0])
    return str(json.loads(document["info"])["sd_model_name"])
