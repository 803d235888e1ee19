"""The adapter against the real InvokeAI; its nodes for images need no model to run.

`DARKROOM_INVOKEAI_BIN` names the command `invokeai-web` of an installation.
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from agent_on import OPTIONS, Agent, agent_on, until
from invokeai_jobs import QUEUE, items, job, listed, lora_graph, write_lora
from invokeai_server import InvokeAiServer, invokeai_server, is_up, painting, write_models
from PIL import Image

from contracts.ids import Uid
from contracts.state import Progress
from queue_agent.domain import Leftovers, TaskFailedError
from queue_agent.files.body import open_body
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.models import ModelLibrary
from queue_agent.runtimes.invokeai.runtime import InvokeAiRuntime, invokeai_parts

COMMAND = os.environ.get("DARKROOM_INVOKEAI_BIN", "")
MODELS = ("one", "two")
POLL = timedelta(seconds=0.5)
SOME = 60  # steps; they take longer than the agent's pause between two looks
LONG = 1000  # steps; the most that a model was trained for

pytestmark = pytest.mark.skipif(not COMMAND, reason="DARKROOM_INVOKEAI_BIN is not set")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InvokeAiServer]:
    with invokeai_server(COMMAND, tmp_path_factory.mktemp("invokeai")) as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that nobody may write, as in a bucket that is mounted."""
    made = tmp_path_factory.mktemp("models")
    write_lora(made / "Lora" / "small.safetensors")
    write_lora(made / "Lora" / "cut.safetensors", missing=4)
    (made / "junk.safetensors").write_bytes(b"junk")
    write_models(COMMAND, *(made / name for name in MODELS))
    for path in (made, *made.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return made


@pytest.fixture
async def runtime(server: InvokeAiServer, folder: Path) -> AsyncIterator[InvokeAiRuntime]:
    async with runtime_http(server.url) as http:
        poll, silence = timedelta(seconds=0.2), timedelta(seconds=60)
        models = ModelLibrary(http=http, folder=str(folder), poll=poll)
        made = InvokeAiRuntime(http=http, poll=poll, silence=silence, models=models)
        await is_up(made)
        yield made


@pytest.fixture
async def agent(runtime: InvokeAiRuntime, folder: Path) -> AsyncIterator[Agent]:
    options = replace(OPTIONS, poll=POLL, models_folder=str(folder))
    async with agent_on(invokeai_parts(runtime.http, options)) as working:
        yield working


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
    assert {(models[name]["base"], models[name]["type"]) for name in MODELS} == {
        ("sd-1", "main")
    }
    others = models.keys() - {"small", *MODELS}
    assert {models[name]["type"] for name in others} <= {"unknown"}


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


async def statuses(http: RuntimeHttp) -> dict[str, int]:
    """How many items of the server's queue have each status."""
    counts: dict[str, int] = (await http.get(f"{QUEUE}/status")).body["queue"]
    return counts


async def works(http: RuntimeHttp) -> bool:
    return (await statuses(http))["in_progress"] > 0


async def is_idle(http: RuntimeHttp) -> bool:
    counts = await statuses(http)
    return not counts["in_progress"] + counts["pending"]


async def test_each_task_gets_the_model_that_it_names(agent: Agent) -> None:
    asked = ("one", "two", "one", "two")

    uids = [agent.submit(painting(name, steps=2)) for name in asked]

    assert [await agent.ended(uid) for uid in uids] == ["completed"] * len(asked)
    pixels = [_pixels(agent, uid) for uid in uids]
    assert pixels[0] == pixels[2]
    assert pixels[1] == pixels[3]
    assert pixels[0] != pixels[1]


def _pixels(agent: Agent, uid: Uid) -> bytes:
    """What a picture shows; the file also says when and by whom it was made."""
    [image] = agent.files(uid)
    with Image.open(io.BytesIO(image)) as picture:
        return picture.tobytes()


async def test_cancelled_item_ends_at_the_server(
    runtime: InvokeAiRuntime, agent: Agent
) -> None:
    uid = agent.submit(painting("one", steps=LONG))
    await agent.works(uid, lambda: works(runtime.http))

    agent.cancel(uid)

    assert await agent.ended(uid) == "cancelled"
    await until(lambda: is_idle(runtime.http))
    assert [one["status"] for one in await items(runtime.http, f"{uid}-1")] == ["canceled"]


async def test_item_ends_at_its_limit(runtime: InvokeAiRuntime, agent: Agent) -> None:
    uid = agent.submit(painting("one", steps=LONG), timeout_seconds=2)

    assert await agent.ended(uid) == "timeout"
    await until(lambda: is_idle(runtime.http))


async def test_next_item_waits_at_the_server_while_one_runs(
    runtime: InvokeAiRuntime, agent: Agent
) -> None:
    """The server begins with it at once: an agent that only sees an end would be late."""
    uids = [agent.submit(painting("one", steps=SOME, seed=n)) for n in range(4)]
    await until(lambda: _two_wide(runtime.http))

    assert [await agent.ended(uid) for uid in uids] == ["completed"] * len(uids)

    shown = [one for uid in uids for one in await items(runtime.http, f"{uid}-1")]
    shown.sort(key=lambda one: str(one["started_at"]))
    gaps = [
        (_time(later["started_at"]) - _time(former["completed_at"])).total_seconds()
        for former, later in pairwise(shown)
    ]
    assert median(gaps) < POLL.total_seconds() / 2, gaps


async def _two_wide(http: RuntimeHttp) -> bool:
    counts = await statuses(http)
    return (counts["in_progress"], counts["pending"]) == (1, 1)


def _time(shown: str) -> datetime:
    return datetime.fromisoformat(shown)


async def test_task_that_ran_when_the_server_died_pays_and_the_one_behind_it_does_not(
    server: InvokeAiServer, runtime: InvokeAiRuntime, agent: Agent
) -> None:
    """Both complete when the server is back (ADR 9)."""
    first = agent.submit(painting("one", steps=SOME))
    behind = agent.submit(painting("two", steps=2))
    await until(lambda: _two_wide(runtime.http))

    server.kill()
    server.start()

    assert [await agent.ended(uid) for uid in (first, behind)] == ["completed"] * 2
    paid = [uid for uid, _, interrupted in agent.room.notifier.released if not interrupted]
    assert paid == [first]
    assert agent.room.notifier.attempts[first] == 2
