from __future__ import annotations

from dataclasses import replace

import pytest
from ingest_fakes import (
    CALLER,
    KEY,
    TASK,
    UID,
    World,
    check_problem,
    digest,
    encode,
    rest,
    stamp,
    task_with,
    v1alpha2,
)

from contracts.keys import KeyScope
from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskCost, TaskError, TaskRecord
from ingest.look_up import cursor_before


async def test_task_is_told_in_full(world: World) -> None:
    done = TaskRecord(
        uid=UID,
        id="done",
        runtime="comfy",
        tasktype="pipeline",
        state=TaskState.FAILED,
        attempt=2,
        context_json="null",
        created_at=stamp(5),
        finished_at=stamp(6),
        output_location="s3://b/p/done",
        image_url=("s3://b/p/done/1.png",),
        output_url="s3://b/p/done/x.out",
        error=TaskError(code="runtime_error", message="no", retryable=True),
        warnings=("another sampler",),
        tenant="studio",
        key="bot",
        cost=TaskCost(
            gpu_ms=1500,
            amount_micros=207,
            currency="USD",
            node_type="g5.2xlarge",
            capacity="spot",
        ),
    )
    world.router.known.append(done)
    async with rest(world) as client:
        running, failed = (
            await client.get(f"/v1/tasks/{UID}"),
            await client.get("/v1/tasks/done"),
        )

    assert running.headers["content-type"] == "application/json"
    assert running.content == encode(
        {
            "uid": UID,
            "id": "test-t2i",
            "runtime": "sdruntime",
            "tasktype": "text-to-image",
            "state": "running",
            "attempt": 1,
            "context": {"abc": 123},
            "created_at": "2026-01-02T03:04:05.678Z",
            "started_at": "2026-01-02T03:04:06.000Z",
            "finished_at": None,
            "output_location": "s3://outputbucket/output/test-t2i",
            "image_url": [],
            "output_url": None,
            "error": None,
            "progress": {"step": 1, "total": 3, "percent": 33.3},
            "tenant": "studio",
        }
    )
    answer = failed.json()
    assert answer["created_at"] == "2026-01-02T03:04:05.000Z"
    assert answer["warnings"] == ["another sampler"]
    assert (answer["tenant"], answer["key"]) == ("studio", "bot")
    assert answer["error"] == {"code": "runtime_error", "message": "no", "retryable": True}
    assert answer["cost"] == {
        "gpu_seconds": 1.5,
        "currency": "USD",
        "amount": "0.000207",
        "node_type": "g5.2xlarge",
        "capacity": "spot",
    }
    assert (answer["context"], answer["progress"], answer["started_at"]) == (None, None, None)


async def test_a_cost_without_a_price_has_no_amount(world: World) -> None:
    world.router.known.append(task_with(id="unpriced", cost=TaskCost(gpu_ms=0)))
    async with rest(world) as client:
        told = (await client.get("/v1/tasks/unpriced")).json()["cost"]

    unknown = dict.fromkeys(("currency", "amount", "node_type", "capacity"))
    assert told == {"gpu_seconds": 0, **unknown}


@pytest.mark.parametrize("id", ["other", ".hidden", "a%20b", "%ff", "a%00"])
async def test_task_that_does_not_exist_is_not_found(world: World, id: str) -> None:
    async with rest(world) as client:
        check_problem(await client.get(f"/v1/tasks/{id}"), 404, "task_not_found")


async def test_deep_context_comes_back(world: World) -> None:
    deep: object = 1
    for _ in range(150):
        deep = [deep]
    world.router.known = [task_with(context_json=encode(deep).decode())]
    async with rest(world) as client:
        assert (await client.get("/v1/tasks/test-t2i")).json()["context"] == deep


async def test_pages_are_joined_by_an_opaque_cursor(world: World) -> None:
    world.router.known = [TASK, TASK]
    async with rest(world) as client:
        first = (await client.get("/v1/tasks", params={"limit": 1})).json()
        query: dict[str, str | int] = {"runtime": "SdRuntime", "state": "running", "limit": 100}
        last = await client.get("/v1/tasks", params={**query, "cursor": first["cursor"]})

    assert [len(first["tasks"]), len(last.json()["tasks"])] == [1, 2]
    assert list(first) == ["tasks", "cursor"]
    assert first["cursor"] == cursor_before(UID)
    assert last.json()["cursor"] is None
    assert world.router.asked == {
        "runtime": "sdruntime",
        "state": TaskState.RUNNING,
        "tenant": "",
        "text": "",
        "limit": 100,
        "before_uid": UID,
    }


async def test_empty_filters_are_as_none(world: World) -> None:
    async with rest(world) as client:
        response = await client.get("/v1/tasks?runtime=&state=&tenant=&text=&limit=&cursor=")

    assert response.status_code == 200
    unset = {"runtime": "", "state": None, "tenant": "", "text": ""}
    assert world.router.asked == {**unset, "limit": 20, "before_uid": ""}


async def test_tenant_is_named_by_operators_and_by_its_own_keys(world: World) -> None:
    async with rest(world) as client:
        own = await client.get("/v1/tasks?tenant=studio&text=order-7")
        foreign = await client.get("/v1/tasks?tenant=rival")
    asked = world.router.asked
    world.gate.replace({digest(KEY): replace(CALLER, scope=KeyScope.ADMIN)})
    async with rest(world) as client:
        named = await client.get("/v1/tasks?tenant=rival")

    assert (own.status_code, asked["tenant"], asked["text"]) == (200, "studio", "order-7")
    check_problem(foreign, 403, "forbidden")
    assert (named.status_code, world.router.asked["tenant"]) == (200, "rival")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0", ["limit"]),
        ("limit=101", ["limit"]),
        ("limit=x", ["limit"]),
        ("limit=%C2%B2", ["limit"]),
        ("limit=" + "9" * 5000, ["limit"]),
        ("state=dancing", ["state"]),
        ("cursor=!!!", ["cursor"]),
        ("cursor=x", ["cursor"]),
        ("cursor=%C3%A9", ["cursor"]),
        ("cursor=QUJD", ["cursor"]),
        ("runtime=%00", ["runtime"]),
        ("tenant=%00&text=%07", ["tenant", "text"]),
        ("text=" + "x" * 257, ["text"]),
        ("tenant=%23usage", ["tenant"]),
        ("limit=-1&state=x&cursor=%ff", ["state", "limit", "cursor"]),
    ],
)
async def test_wrong_filters_are_all_named(world: World, query: str, fields: list[str]) -> None:
    async with rest(world) as client:
        response = await client.get(f"/v1/tasks?{query}")

    problem = check_problem(response, 400, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == fields


async def test_runtimes_are_told(world: World) -> None:
    async with rest(world) as client:
        response = await client.get("/v1/runtimes")

    assert response.content == encode(
        {
            "runtimes": [
                {
                    "name": "sdruntime",
                    "type": "sdwebui",
                    "model_filename": "v1-5-pruned-emaonly.safetensors",
                    "dynamic_model": False,
                    "tasktypes": ["text-to-image", "image-to-image"],
                },
                {
                    "name": "comfy",
                    "type": "comfyui",
                    "model_filename": None,
                    "dynamic_model": False,
                    "tasktypes": ["pipeline"],
                },
            ]
        }
    )


async def test_models_are_told(world: World) -> None:
    async with rest(world) as client:
        response = await client.get("/v1/models")

    assert response.content == encode(
        {
            "models": [
                {
                    "name": "a.safetensors",
                    "kind": "Stable-diffusion",
                    "bytes": 4265146304,
                    "format": "safetensors",
                    "valid": True,
                    "problem": None,
                },
                {
                    "name": "b.pt",
                    "kind": "VAE",
                    "bytes": 0,
                    "format": "pt",
                    "valid": False,
                    "problem": "the file is empty",
                },
            ]
        }
    )


async def test_request_of_a_task_is_what_submits_it_again(world: World) -> None:
    kept = v1alpha2({"prompt": "A dog", "steps": 16}, context={"order": 7})
    world.router.requests[UID] = encode(kept)
    async with rest(world) as client:
        told = [await client.get(f"/v1/tasks/{name}/request") for name in (UID, "test-t2i")]
        again = await client.post("/v1alpha2", json=told[0].json())

    assert [answer.json() for answer in told] == [kept, kept]
    assert again.status_code == 200
    assert world.router.submitted[0][0].context_json == '{"order":7}'


async def test_request_that_is_not_kept_is_told_apart_from_a_task_that_is_not_there(
    world: World,
) -> None:
    async with rest(world) as client:
        kept = await client.get(f"/v1/tasks/{UID}/request")
        for name in ("other", ".hidden"):
            answer = await client.get(f"/v1/tasks/{name}/request")
            check_problem(answer, 404, "task_not_found")

    check_problem(kept, 404, "request_not_kept")
