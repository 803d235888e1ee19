"""ComfyUI's API at the edge; its own clients judge it in `tests/e2e`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
import websockets
from ingest_fakes import KEY, UID, World, change, encode, rest
from websockets.exceptions import InvalidStatus

from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskError, TaskProgress, TaskRecord
from ingest.native.comfyui.check import check

COMFY = "/runtimes/comfy/comfy"
PROMPT_ID = "5c2a1f52-13f4-4a0e-9d8e-6a3c0d3c1f11"
NODES = {
    "Load": {"input": {"required": {"name": ["A"]}}, "output_node": False},
    "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output_node": True},
}
GRAPH = {
    "1": {"class_type": "Load", "inputs": {"name": "a"}},
    "2": {"class_type": "Save", "inputs": {"images": ["1", 0]}},
}
OUT = {
    "code": 200,
    "outputs": {
        "2": {
            "images": [
                {"filename": "x_1.png", "subfolder": "s", "type": "output"},
                {"filename": "p.png", "subfolder": "", "type": "temp"},
                {"filename": "x_1.png", "subfolder": "s", "type": "output"},
                {"filename": "x_2.png", "subfolder": "s", "type": "output"},
            ],
            "image_url": ["s3://b/o/a-1.png", "s3://b/o/a-2.png"],
        },
        "3": {"text": ["seen"]},
    },
}


def prompt_task(**changes: Any) -> TaskRecord:
    """A task that came as a prompt of the key."""
    known = {"id": PROMPT_ID, "runtime": "comfy", "tasktype": "pipeline", "progress": None}
    task = change(1, **known, **changes).task
    task.key = "tests"
    return task


def completed(**changes: Any) -> TaskRecord:
    images = ["s3://b/o/a-1.png", "s3://b/o/a-2.png"]
    ended = {"state": TaskState.COMPLETED, "output_url": "s3://b/o/a.out", **changes}
    task = prompt_task(image_url=images, **ended)
    task.finished_at.CopyFrom(task.started_at)
    return task


@pytest.mark.parametrize("path", [COMFY, f"{COMFY}/api", "", "/api"])
async def test_prompt_is_handed_in_as_a_task_of_its_id(world: World, path: str) -> None:
    world.router.known = [prompt_task()]
    sent = {"prompt": GRAPH, "prompt_id": PROMPT_ID, "client_id": "c1", "front": True}
    async with rest(world) as client:
        # As clients send it that name no type.
        answer = await client.post(f"{path}/prompt", content=encode(sent))

    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "prompt_id": PROMPT_ID,
        "number": 1767323045678,
        "node_errors": {},
    }
    [(submission, tenant)] = world.router.submitted
    assert (submission.id, submission.runtime, tenant) == (PROMPT_ID, "comfy", "studio")
    assert json.loads(submission.content) == {"prompt": GRAPH}
    assert json.loads(submission.context_json) == {"comfyui_client": "c1"}


async def test_prompt_that_comes_again_is_the_same_task(world: World) -> None:
    world.router.known = [prompt_task()]
    sent = {"prompt": GRAPH, "prompt_id": PROMPT_ID}
    async with rest(world) as client:
        first = await client.post("/prompt", json=sent)
        again = await client.post("/prompt", json=sent)
        other = await client.post("/prompt", json={**sent, "prompt": {"1": GRAPH["1"]}})

    assert first.json() == again.json()
    assert [key for key in world.router.held] == [f"comfy {PROMPT_ID}"]
    assert (other.status_code, other.json()["error"]["type"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ({}, "no_prompt"),
        ({"prompt": {}}, "prompt_no_outputs"),
        ({"prompt": {"1": {"inputs": {}}}}, "invalid_prompt"),
        ({"prompt": {"1": {"class_type": "Nothing"}}}, "invalid_prompt"),
        ({"prompt": {"1": GRAPH["1"]}}, "prompt_no_outputs"),
        ({"prompt": {"2": {"class_type": "Save"}}}, "prompt_outputs_failed_validation"),
        ({"prompt": [GRAPH]}, "invalid_request"),
        ({"prompt": GRAPH, "prompt_id": "no uuid"}, "invalid_request"),
    ],
)
async def test_prompt_that_comfyui_refuses_wakes_no_gpu(
    world: World, sent: dict[str, Any], kind: str
) -> None:
    world.router.offers = {"object_info": NODES}
    async with rest(world) as client:
        answer = await client.post("/prompt", json=sent)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == kind
    assert answer.json().keys() == {"error", "node_errors"}
    assert world.router.submitted == []


def test_only_what_an_output_needs_is_looked_at() -> None:
    graph = {**GRAPH, "9": {"class_type": "Load", "inputs": {}}}

    assert check(graph, NODES) == (None, {})


def test_one_good_output_is_enough_and_the_bad_one_is_told() -> None:
    graph = {**GRAPH, "8": {"class_type": "Save", "inputs": {}}}

    refused, errors = check(graph, NODES)

    assert refused is None
    assert errors["8"]["dependent_outputs"] == ["8"]
    assert errors["8"]["errors"][0]["extra_info"] == {"input_name": "images"}


def test_circle_of_nodes_is_walked_once() -> None:
    circle = {"2": {"class_type": "Save", "inputs": {"images": ["2", 0]}}}

    assert check(circle, NODES) == (None, {})


async def test_history_names_files_that_can_be_viewed(world: World) -> None:
    world.router.known = [completed()]
    world.router.out = encode(OUT)
    async with rest(world) as client:
        found = (await client.get(f"/history/{PROMPT_ID}")).json()[PROMPT_ID]
        listed = (await client.get("/history", params={"max_items": 1})).json()
        images = found["outputs"]["2"]["images"]
        files = [await client.get("/view", params=image) for image in images]

    assert listed == {PROMPT_ID: found}
    assert found["status"]["status_str"] == "success"
    assert found["status"]["completed"] is True
    assert found["outputs"]["3"] == {"text": ["seen"]}
    assert [image["filename"] for image in images] == [
        "a-1.png",
        "p.png",
        "a-1.png",
        "a-2.png",
    ]
    assert {image["subfolder"] for image in images if image["type"] == "output"} == {UID}
    assert [file.content for file in files if file.status_code == 200] == [
        b"image 0",
        b"image 0",
        b"image 1",
    ]
    assert files[0].headers["content-type"] == "image/png"
    assert files[0].headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (
            prompt_task(
                state=TaskState.FAILED, error=TaskError(code="node_failed", message="No.")
            ),
            "execution_error",
        ),
        (prompt_task(state=TaskState.CANCELLED), "execution_interrupted"),
    ],
)
async def test_end_without_images_is_told_in_the_history(
    world: World, task: TaskRecord, kind: str
) -> None:
    world.router.known = [task]
    async with rest(world) as client:
        found = (await client.get(f"/history/{PROMPT_ID}")).json()[PROMPT_ID]

    assert (found["status"]["status_str"], found["status"]["completed"]) == ("error", False)
    assert found["status"]["messages"][-1][0] == kind
    assert found["outputs"] == {}


@pytest.mark.parametrize(
    "path",
    [
        f"/history/{PROMPT_ID}",
        "/history/another",
        "/history/%20",
    ],
)
async def test_prompt_that_has_not_ended_has_no_history(world: World, path: str) -> None:
    world.router.known = [prompt_task()]
    async with rest(world) as client:
        answer = await client.get(path)

    assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"filename": "a-1.png"},
        {"filename": "../a-1.png", "subfolder": UID},
        {"filename": "a-3.png", "subfolder": UID},
        {"filename": "a-1.png", "subfolder": "01JD0000000000000000000009"},
    ],
)
async def test_file_that_is_not_there_is_404(world: World, asked: dict[str, str]) -> None:
    world.router.known = [completed()]
    async with rest(world) as client:
        assert (await client.get("/view", params=asked)).status_code == 404


async def test_queue_has_only_prompts_of_the_key(world: World) -> None:
    other = prompt_task(uid="01JD0000000000000000000001")
    other.key = "another"
    world.router.known = [prompt_task(), other]
    async with rest(world) as client:
        queue = (await client.get("/queue")).json()
        told = (await client.get("/prompt")).json()
        await client.post("/interrupt", json={"prompt_id": "another"})
        before = list(world.router.cancelled)
        await client.post("/interrupt")

    assert [item[1] for item in queue["queue_running"]] == [PROMPT_ID]
    assert told["exec_info"]["queue_remaining"] > 0
    assert (before, world.router.cancelled) == ([], [UID])


@pytest.mark.parametrize(
    ("asked", "cancelled"),
    [
        ({"clear": True}, [UID]),
        ({"delete": [PROMPT_ID]}, [UID]),
        ({"delete": ["another"]}, []),
        ({}, []),
    ],
)
async def test_queued_prompts_are_taken_back(
    world: World, asked: dict[str, Any], cancelled: list[str]
) -> None:
    world.router.known = [prompt_task()]
    async with rest(world) as client:
        answer = await client.post("/queue", json=asked)

    assert answer.status_code == 200
    assert world.router.cancelled == cancelled


async def test_nodes_are_those_that_an_agent_has_seen(world: World) -> None:
    async with rest(world) as client:
        before = await client.get("/object_info")
    world.router.offers = {"object_info": NODES}
    async with rest(world) as client:
        nodes = await client.get("/object_info")
        one = await client.get("/object_info/Save")
        none = await client.get("/object_info/Nothing")

    assert (before.status_code, nodes.json()) == (404, NODES)
    assert (one.json(), none.json()) == ({"Save": NODES["Save"]}, {})


def socket(client: httpx.AsyncClient, **headers: str) -> websockets.connect:
    url = str(client.base_url.copy_with(scheme="ws"))
    return websockets.connect(f"{url}/ws?clientId=c1", additional_headers=headers, proxy=None)


async def test_socket_tells_each_stage_in_comfyuis_order(world: World) -> None:
    context = {"context_json": '{"comfyui_client": "c1"}'}
    world.router.known = [prompt_task(**context)]
    world.router.out = encode(OUT)
    begun = prompt_task(**context)
    begun.progress.CopyFrom(TaskProgress(step=2, total=5))
    ended = completed(**context)
    for at, task in enumerate((begun, ended), start=1):
        told = change(at)
        told.task.CopyFrom(task)
        world.notifier.tell(told)
    seen: list[tuple[str, Any]] = []
    async with rest(world) as client, socket(client, authorization=f"Bearer {KEY}") as ws:
        async with asyncio.timeout(60):
            while not seen or seen[-1][0] != "executing":
                told = json.loads(await ws.recv())
                seen.append((told["type"], told["data"]))

    assert [kind for kind, _ in seen] == [
        "status",
        "execution_start",
        "execution_cached",
        "progress",
        "executed",
        "executed",
        "execution_success",
        "executing",
    ]
    assert seen[0][1]["sid"] == "c1"
    assert (seen[3][1]["value"], seen[3][1]["max"]) == (2, 5)
    assert seen[4][1]["node"] == "2"
    assert seen[4][1]["output"]["images"][0]["filename"] == "a-1.png"
    assert seen[-1][1] == {"node": None, "prompt_id": PROMPT_ID}


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nobody"}])
async def test_socket_without_a_key_is_refused(world: World, headers: dict[str, str]) -> None:
    async with rest(world, key=None) as client:
        with pytest.raises(InvalidStatus) as caught:
            async with socket(client, **headers):
                pass

    assert caught.value.response.status_code == 403


async def test_socket_of_another_client_hears_nothing(world: World) -> None:
    world.router.known = [prompt_task(context_json='{"comfyui_client": "c2"}')]
    async with rest(world) as client, socket(client, authorization=f"Bearer {KEY}") as ws:
        first = json.loads(await ws.recv())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await ws.recv()

    assert first["type"] == "status"
    assert world.notifier.asked == []
