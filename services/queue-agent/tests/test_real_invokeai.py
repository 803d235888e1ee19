"""The adapter against the real InvokeAI; its nodes for images need no model.

`DARKROOM_INVOKEAI_BIN` names the command `invokeai-web` of an installation.
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contracts.ids import new_uid
from contracts.kinds import TaskType
from queue_agent.adapters.invokeai import InvokeAiRuntime
from queue_agent.adapters.runtime_http import RuntimeHttp, runtime_http
from queue_agent.domain import Job, Progress, RuntimeLostError, TaskFailedError
from queue_agent.spool import opened
from servicekit.ports import free_port

COMMAND = os.environ.get("DARKROOM_INVOKEAI_BIN", "")
START_SECONDS = 600

pytestmark = pytest.mark.skipif(not COMMAND, reason="DARKROOM_INVOKEAI_BIN is not set")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, root = free_port(), tmp_path_factory.mktemp("invokeai")
    settings = {"INVOKEAI_HOST": "127.0.0.1", "INVOKEAI_PORT": str(port)}
    with (
        Path(root, "log").open("w") as log,
        subprocess.Popen(
            [COMMAND, "--root", str(root)],
            env={**os.environ, **settings},
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
async def runtime(url: str) -> AsyncIterator[InvokeAiRuntime]:
    async with runtime_http(url) as http:
        made = _runtime(http)
        async with asyncio.timeout(START_SECONDS):
            while not await _is_up(made):  # noqa: ASYNC110  # another process
                await asyncio.sleep(1)
        yield made


def _runtime(http: RuntimeHttp) -> InvokeAiRuntime:
    poll, silence = timedelta(seconds=0.2), timedelta(seconds=60)
    return InvokeAiRuntime(http=http, poll=poll, silence=silence)


async def _is_up(runtime: InvokeAiRuntime) -> bool:
    try:
        await runtime.probe()
    except RuntimeLostError:
        return False
    return True


def job(graph: dict[str, Any]) -> Job:
    content = {"graph": graph}
    return Job(uid=new_uid(), attempt=1, tasktype=TaskType.PIPELINE, content=content)


def chain(first: dict[str, Any]) -> dict[str, Any]:
    nodes = {
        "first": {"id": "first", "is_intermediate": True, **first},
        "small": {"id": "small", "type": "img_resize", "width": 32, "height": 24},
    }
    source = {"node_id": "first", "field": "image"}
    edge = {"source": source, "destination": {"node_id": "small", "field": "image"}}
    return {"nodes": nodes, "edges": [edge]}


async def test_graph_of_image_nodes_gives_its_image(runtime: InvokeAiRuntime) -> None:
    seen: list[Progress] = []
    wanted = job(chain({"type": "blank_image", "width": 64, "height": 48}))

    made = [await runtime.run(wanted, seen.append) for _ in range(2)]

    [file] = made[0].files
    with Image.open(opened(file.body)) as picture:
        assert picture.size == (32, 24)
    assert made[1].answer["prompt_id"] == made[0].answer["prompt_id"]
    assert all(one.total == 2 for one in seen)


async def test_uploaded_image_is_an_input(runtime: InvokeAiRuntime) -> None:
    body = io.BytesIO()
    Image.new("RGB", (64, 48), "orange").save(body, "PNG")

    name = await runtime.upload("a.png", body.getvalue())
    blurred = {"type": "img_blur", "image": {"image_name": name}}
    made = await runtime.run(job(chain(blurred)), lambda _: None)

    assert len(made.files) == 1


@pytest.mark.parametrize(
    ("graph", "code"),
    [
        ({"nodes": {"1": {"id": "1", "type": "no_such"}}}, "runtime_rejected"),
        (chain({"type": "img_blur", "image": {"image_name": "no.png"}}), "runtime_error"),
    ],
)
async def test_bad_graph_is_a_failure(
    runtime: InvokeAiRuntime, graph: dict[str, Any], code: str
) -> None:
    with pytest.raises(TaskFailedError) as caught:
        await runtime.run(job(graph), lambda _: None)

    assert caught.value.code == code
