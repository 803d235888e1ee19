from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from invokeai_jobs import (
    QUEUE,
    edge,
    enqueue,
    graph,
    ignore,
    items,
    job,
    reached,
    runtime,
    size,
)

from contracts.ids import TaskId, new_uid
from contracts.kinds import TaskType
from contracts.state import Progress
from queue_agent.domain import Job, Leftovers, TaskFailedError
from queue_agent.files.types import PNG, file_type
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.answers import Item
from queue_agent.task.out_document import ComfyUiOut
from servicekit.errors import TransientError


@pytest.fixture
async def http(invokeai_url: str) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(invokeai_url) as opened:
        yield opened


async def test_running_server_is_ready(http: RuntimeHttp) -> None:
    await runtime(http).probe()


@pytest.mark.parametrize("form", ["graph", "wrapped", "batch"])
async def test_graph_gives_the_images_of_its_last_nodes(http: RuntimeHttp, form: str) -> None:
    forms = {
        "graph": graph(),
        "wrapped": {"graph": graph(), "priority": 1},
        "batch": {"batch": {"graph": graph(), "runs": 3, "destination": "gallery"}},
    }
    wanted = job(forms[form])

    made = await runtime(http).run(wanted, ignore)

    assert [file_type(file.body, file.name) for file in made.files] == [PNG]
    assert size(made.files[0]) == (32, 24)
    [item] = await items(http, f"{wanted.uid}-1")
    assert item["origin"] == "darkroom"
    document = ComfyUiOut().completed(TaskId("t"), wanted, made)
    assert set(document) == {"code", "prompt_id", "outputs", "status"}
    assert document["prompt_id"] == str(item["item_id"])
    assert document["outputs"]["small"][0]["width"] == 32
    [started, ended] = document["status"]["messages"]
    assert (started[0], ended[0]) == ("execution_start", "execution_success")
    assert abs(ended[1]["timestamp"] / 1000 - time.time()) < 600
    assert started[1]["timestamp"] <= ended[1]["timestamp"]


async def test_image_that_is_only_shown_again_counts_once(http: RuntimeHttp) -> None:
    wanted = graph(show={"type": "show_image"})
    wanted["edges"].append(edge("small", "show"))

    made = await runtime(http).run(job(wanted), ignore)

    assert len(made.files) == 1


async def test_progress_counts_the_nodes(http: RuntimeHttp) -> None:
    seen: list[Progress] = []

    eager = replace(runtime(http), poll=timedelta(milliseconds=1))
    await eager.run(job(graph()), seen.append)

    assert {one.total for one in seen} == {3}
    assert [one.step for one in seen] == sorted(one.step for one in seen)


async def test_uploaded_input_is_used_under_the_name_in_the_answer(http: RuntimeHttp) -> None:
    source = (await runtime(http).run(job(graph()), ignore)).files[0].body

    name = await runtime(http).upload("../a.png", source)
    nodes = {"1": {"id": "1", "type": "img_blur", "image": {"image_name": name}}}
    made = await runtime(http).run(job({"nodes": nodes, "edges": []}), ignore)

    assert "/" not in name
    assert size(made.files[0]) == (32, 24)


async def are_there(http: RuntimeHttp, names: list[str]) -> list[bool]:
    return [(await http.get(f"/api/v1/images/i/{name}")).ok for name in names]


async def test_what_an_attempt_has_left_is_deleted_and_nothing_else(http: RuntimeHttp) -> None:
    server = runtime(http)
    source = (await server.run(job(graph()), ignore)).files[0].body
    given, uploaded = [await server.upload("a.png", source) for _ in range(2)]
    nodes: dict[str, dict[str, Any]] = {
        "shown": {"type": "show_image", "image": {"image_name": given}},
        "blurred": {"type": "img_blur", "image": {"image_name": uploaded}},
        "blank": {"type": "blank_image", "is_intermediate": True},
    }
    wanted = job({"nodes": {name: {"id": name, **node} for name, node in nodes.items()}})
    await server.run(wanted, ignore)
    [item] = await items(http, f"{wanted.uid}-1")
    results = item["session"]["results"].values()
    made = sorted({result["image"]["image_name"] for result in results} - {given})
    mine = Leftovers(uid=wanted.uid, attempt=1, uploads=[uploaded])

    before = await are_there(http, [given, uploaded, *made])
    for _ in range(2):
        await server.forget(mine)

    assert before == [True, True, True, True]
    assert await are_there(http, [given, uploaded, *made]) == [True, False, False, False]
    assert await items(http, f"{wanted.uid}-1") == []


async def test_equal_graph_makes_images_of_its_own(http: RuntimeHttp) -> None:
    server, first, again = runtime(http), job(graph()), job(graph())

    before = await server.run(first, ignore)
    after = await server.run(again, ignore)
    await server.forget(Leftovers(uid=first.uid, attempt=1))

    assert {file.name for file in before.files}.isdisjoint(file.name for file in after.files)
    assert await are_there(http, [file.name for file in after.files]) == [True]


async def test_failed_attempt_is_forgotten_too(http: RuntimeHttp) -> None:
    server, wanted = runtime(http), job(graph("BREAK"))
    with pytest.raises(TaskFailedError):
        await server.run(wanted, ignore)
    [item] = await items(http, f"{wanted.uid}-1")
    [made] = item["session"]["results"].values()

    await server.forget(Leftovers(uid=wanted.uid, attempt=1))

    assert await are_there(http, [made["image"]["image_name"]]) == [False]


async def test_deletion_that_the_server_refuses_is_told() -> None:
    async def nothing(_: web.Request) -> web.Response:
        return web.json_response([])

    app = web.Application()
    app.router.add_get(f"{QUEUE}/list_all", nothing)
    server = TestServer(app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        with pytest.raises(TaskFailedError, match="did not delete"):
            await runtime(http).forget(Leftovers(uid=new_uid(), attempt=1, uploads=["a.png"]))


async def test_upload_that_is_no_image_is_refused(http: RuntimeHttp) -> None:
    with pytest.raises(TaskFailedError, match="did not take an input image"):
        await runtime(http).upload("a.png", b"no image")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"nodes": {"1": {"id": "1", "type": "no_such"}}}, "no_such"),
        ({"nodes": {}, "edges": [edge("1", "2")]}, "does not exist"),
        ({"batch": {"runs": 1}}, "batch.graph: Field required"),
        ({"batch": {"graph": graph(), "data": [[]]}}, ""),
        ({"batch": {"graph": graph(), "data": [[{"items": [1, 2]}]]}}, "many tasks"),
    ],
)
async def test_refused_graph_fails_with_what_is_wrong_with_it(
    http: RuntimeHttp, content: dict[str, Any], said: str
) -> None:
    with pytest.raises(TaskFailedError) as caught:
        await runtime(http).run(job(content), ignore)

    assert caught.value.code == "runtime_rejected"
    assert said in str(caught.value)


async def test_other_kinds_of_tasks_are_refused(http: RuntimeHttp) -> None:
    wanted = Job(uid=new_uid(), attempt=1, tasktype=TaskType.TEXT_TO_IMAGE, content={})

    with pytest.raises(TaskFailedError, match="does not do text-to-image"):
        await runtime(http).run(wanted, ignore)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (graph("BREAK"), "node mark: RuntimeError: told to fail"),
        ({"nodes": {"1": {"id": "1", "type": "img_blur"}}}, "MissingInputException"),
    ],
)
async def test_failure_of_a_node_is_a_failure_with_its_words(
    http: RuntimeHttp, content: dict[str, Any], said: str
) -> None:
    server, wanted = runtime(http), job(content)
    server.loaded.load_time = timedelta(hours=1)

    with pytest.raises(TaskFailedError) as caught:
        await server.run(wanted, ignore)

    assert caught.value.code == "runtime_error"
    assert said in str(caught.value)
    assert isinstance(caught.value.answer, dict)
    assert server.loading(wanted) == timedelta(hours=1)  # it may not have got that far


async def test_cancel_by_somebody_else_is_neither_failure_nor_success(
    http: RuntimeHttp,
) -> None:
    wanted = job(graph("HANG"))

    async def run() -> None:
        with pytest.raises(TransientError, match="somebody else"):
            await runtime(http).run(wanted, ignore)

    async with asyncio.TaskGroup() as group:
        group.create_task(run(), name="run")
        item_id = await reached(http, f"{wanted.uid}-1", "in_progress")
        await http.put(f"{QUEUE}/i/{item_id}/cancel")


async def test_cancelled_run_is_cancelled_at_the_server_and_leaves_nothing(
    http: RuntimeHttp,
) -> None:
    wanted = job(graph("HANG"))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(runtime(http).run(wanted, ignore), name="run")
        await reached(http, f"{wanted.uid}-1", "in_progress")
        task.cancel()

    await reached(http, f"{wanted.uid}-1", "canceled")
    assert len((await runtime(http).run(job(graph("next")), ignore)).files) == 1


async def test_attempt_that_was_queued_before_is_not_queued_again(http: RuntimeHttp) -> None:
    wanted = job(graph())
    await enqueue(http, graph(), f"{wanted.uid}-1")

    made = [await runtime(http).run(wanted, ignore) for _ in range(2)]

    assert made[0].files == made[1].files
    assert len(await items(http, f"{wanted.uid}-1")) == 1


async def test_leftover_of_a_dead_agent_is_cancelled(http: RuntimeHttp) -> None:
    uid = new_uid()
    await enqueue(http, graph("HANG"), f"{uid}-1")
    await reached(http, f"{uid}-1", "in_progress")

    made = await runtime(http).run(job(graph("again"), uid, 2), ignore)

    assert len(made.files) == 1
    await reached(http, f"{uid}-1", "canceled")


@pytest.mark.parametrize("name", ["../../secret", "a/b", ".hidden", "", "a?b", "a\n", 7, None])
def test_image_name_that_is_no_plain_segment_is_never_asked_for(name: object) -> None:
    results = {"1": {"image": {"image_name": name}, "collection": [{"image_name": name}, 3]}}

    item = Item.read({"item_id": 1, "session": {"results": results}})

    assert item is not None
    assert item.image_names() == []


@pytest.mark.parametrize("shown", [None, [], {}, {"item_id": "1"}])
def test_what_is_no_item_is_none(shown: object) -> None:
    assert Item.read(shown) is None


def test_images_of_a_collection_are_results() -> None:
    images = [{"image_name": f"{n}.png"} for n in (1, 2, 1)]
    session = {"results": {"p": {"collection": images}}, "prepared_source_mapping": {"p": "1"}}

    item = Item.read({"item_id": 1, "session": session})

    assert item is not None
    assert item.image_names() == ["1.png", "2.png"]
    assert item.progress() is None
