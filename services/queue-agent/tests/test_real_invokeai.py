"""The adapter against the real InvokeAI; its nodes for images need no model to run.

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
from invokeai_jobs import items, job, listed, lora_graph, write_lora
from PIL import Image

from contracts.state import Progress
from queue_agent.domain import Leftovers, RuntimeLostError, TaskFailedError
from queue_agent.files.body import open_body
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.models import ModelLibrary
from queue_agent.runtimes.invokeai.runtime import InvokeAiRuntime
from servicekit.listen import free_port

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that nobody may write, as in a bucket that is mounted."""
    made = tmp_path_factory.mktemp("models")
    good, cut = made / "Lora" / "small.safetensors", made / "Lora" / "cut.safetensors"
    write_lora(good)
    write_lora(cut, missing=4)
    junk = made / "junk.safetensors"
    junk.write_bytes(b"junk")
    for path in (good, cut, junk):
        path.chmod(0o444)
    for each in (good.parent, made):
        each.chmod(0o555)
    return made


@pytest.fixture
async def runtime(url: str, folder: Path) -> AsyncIterator[InvokeAiRuntime]:
    async with runtime_http(url) as http:
        made = _runtime(http, folder)
        async with asyncio.timeout(START_SECONDS):
            while not await _is_up(made):  # noqa: ASYNC110  # another process
                await asyncio.sleep(1)
        yield made


def _runtime(http: RuntimeHttp, folder: Path) -> InvokeAiRuntime:
    poll, silence = timedelta(seconds=0.2), timedelta(seconds=60)
    models = ModelLibrary(http=http, folder=str(folder), poll=poll)
    return InvokeAiRuntime(http=http, poll=poll, silence=silence, models=models)


async def _is_up(runtime: InvokeAiRuntime) -> bool:
    try:
        await runtime.probe()
    except RuntimeLostError:
        return False
    return True


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
    with Image.open(open_body(file.body)) as picture:
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


async def test_models_of_the_folder_are_registered_in_place(
    runtime: InvokeAiRuntime, folder: Path
) -> None:
    models = await listed(runtime.http)

    small = models["small"]
    assert (small["base"], small["type"]) == ("sd-1", "lora")
    assert small["path"] == str(folder / "Lora" / "small.safetensors")
    assert {one["type"] for name, one in models.items() if name != "small"} <= {"unknown"}


@pytest.mark.parametrize(
    "named", [{"name": "small"}, {"name": "small", "key": "of-another-server", "hash": "b:0"}]
)
async def test_model_of_a_graph_is_found_by_its_name(
    runtime: InvokeAiRuntime, named: dict[str, str]
) -> None:
    wanted = lora_graph(**named)
    del wanted["nodes"]["mark"], wanted["edges"]
    blank = {"id": "blank", "type": "blank_image", "width": 64, "height": 48}
    nodes = {"lora": wanted["nodes"]["lora"], "blank": blank}

    made = await runtime.run(job({"nodes": nodes, "edges": []}), lambda _: None)

    assert len(made.files) == 1
    assert {"lora", "blank"} == set(made.answer["outputs"])


async def test_model_that_it_has_not_is_refused(runtime: InvokeAiRuntime) -> None:
    with pytest.raises(TaskFailedError, match="no model no-such") as caught:
        await runtime.run(job(lora_graph(name="no-such")), lambda _: None)

    assert caught.value.code == "model_not_found"


async def _are_there(runtime: InvokeAiRuntime, names: list[str]) -> set[bool]:
    return {(await runtime.http.get(f"/api/v1/images/i/{name}")).ok for name in names}


async def test_what_an_attempt_left_is_deleted_and_an_equal_one_keeps_its_own(
    runtime: InvokeAiRuntime,
) -> None:
    body = io.BytesIO()
    Image.new("RGB", (64, 48), "orange").save(body, "PNG")
    given = await runtime.upload("a.png", body.getvalue())
    uploaded = await runtime.upload("a.png", body.getvalue())
    shown = chain({"type": "show_image", "image": {"image_name": given}})
    first, again = job(shown), job(shown)

    before = await runtime.run(first, lambda _: None)
    after = await runtime.run(again, lambda _: None)
    gone = [uploaded, *(file.name for file in before.files)]
    assert await _are_there(runtime, gone) == {True}
    for _ in range(2):
        await runtime.forget(Leftovers(uid=first.uid, attempt=1, uploads=[uploaded]))

    assert await _are_there(runtime, gone) == {False}
    assert await _are_there(runtime, [given, *(file.name for file in after.files)]) == {True}
    assert await items(runtime.http, f"{first.uid}-1") == []
