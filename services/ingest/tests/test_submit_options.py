"""What a client may ask of a submission: once, waited for, within a time. And its way back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from ingest_fakes import (
    KEY,
    SIGNATURE,
    UID,
    World,
    change,
    rest,
    rpc,
    task_with,
    v1alpha1,
    v1alpha2,
)

from contracts.ids import new_uid
from contracts.kinds import Extra, Previews
from contracts.state import TaskState
from darkroom.tasks.v1 import tasks_pb2
from servicekit.errors import FieldError, RejectedError

DONE = change(9, state=TaskState.COMPLETED, progress=None)
WITH_KEY = (("x-api-key", KEY),)


def key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


@pytest.mark.parametrize(
    ("path", "body"), [("/v1alpha2", v1alpha2()), ("/v1alpha1", v1alpha1())]
)
async def test_the_same_key_and_body_give_the_first_answer_again(
    world: World, path: str, body: dict[str, Any]
) -> None:
    world.make_uid = new_uid
    async with rest(world) as client:
        first, again = [
            await client.post(path, json=body, headers=key("key 1")) for _ in range(2)
        ]
        slash = await client.post(path + "/", json=body, headers=key("key 1"))
        other = await client.post(path, json=body, headers=key("key 2"))
    assert first.status_code == 200
    assert again.json() == first.json() == slash.json()
    assert other.json()["uid"] != first.json()["uid"]


async def test_the_same_key_with_another_body_is_a_conflict(world: World) -> None:
    async with rest(world) as client:
        await client.post("/v1alpha2", json=v1alpha2(), headers=key("key 1"))
        refused = await client.post("/v1alpha2", json=v1alpha2(id="b"), headers=key("key 1"))
        form = await client.post("/v1alpha1", json=v1alpha1(), headers=key("key 1"))
    for each in (refused, form):
        assert (each.status_code, each.json()["code"]) == (409, "idempotency_conflict")
        assert "key 1" not in each.text


@pytest.mark.parametrize("text", ["", "x" * 256, "ü", "a\tb"])
async def test_a_key_that_cannot_be_one_is_named(world: World, text: str) -> None:
    headers = [(b"Idempotency-Key", text.encode("latin-1"))]
    async with rest(world) as client:
        refused = await client.post("/v1alpha2", json=v1alpha2(), headers=headers)
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == ["Idempotency-Key"]
    assert world.router.submitted == []


async def test_two_keys_are_refused(world: World) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    async with rest(world) as client:
        refused = await client.post("/v1alpha2", json=v1alpha2(), headers=headers)
    assert refused.status_code == 400


async def test_grpc_takes_a_key_too(world: World) -> None:
    def request(**changes: Any) -> tasks_pb2.SubmitTaskRequest:
        known = {"id": "a", "runtime": "r", "tasktype": "pipeline", "content_json": "{}"}
        return tasks_pb2.SubmitTaskRequest(**{**known, "idempotency_key": "k", **changes})

    async with rpc(world) as stub:
        first = await stub.SubmitTask(request(), metadata=WITH_KEY)
        assert await stub.SubmitTask(request(), metadata=WITH_KEY) == first
        for wrong, status in (
            ({"id": "b"}, grpc.StatusCode.FAILED_PRECONDITION),
            ({"idempotency_key": "ü"}, grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.SubmitTask(request(**wrong), metadata=WITH_KEY)
            assert caught.value.code() is status


@pytest.mark.parametrize(
    ("path", "body"), [("/v1alpha2", v1alpha2()), ("/v1alpha1", v1alpha1())]
)
async def test_a_client_that_waits_gets_the_ended_task(
    world: World, path: str, body: dict[str, Any]
) -> None:
    world.notifier.tell(change(1), DONE)
    async with rest(world) as client:
        usual = (await client.post(path, json=body)).json()
        answer = await client.post(path, json=body, headers={"Prefer": "wait=30"})
    task = answer.json().pop("task")
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=30")
    assert {k: v for k, v in answer.json().items() if k != "task"} == usual
    assert (task["uid"], task["state"]) == (UID, "completed")


async def test_a_task_that_does_not_end_in_time_has_the_usual_answer(world: World) -> None:
    async with rest(world) as client:
        answer = await client.post("/v1alpha2", json=v1alpha2(), headers={"Prefer": "wait=1"})
    assert answer.status_code == 200
    assert "task" not in answer.json()


async def test_a_wait_without_room_or_notifier_is_still_an_acceptance() -> None:
    world = World(streams=1)
    world.watches.close()
    async with rest(world) as client:
        answer = await client.post("/v1alpha2", json=v1alpha2(), headers={"Prefer": "wait=60"})
    assert answer.status_code == 200
    assert "task" not in answer.json()


async def test_a_waiting_client_that_leaves_frees_the_stream(world: World) -> None:
    async with rest(world) as client, asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            headers = {"Prefer": "wait=60"}
            call = group.create_task(
                client.post("/v1alpha2", json=v1alpha2(), headers=headers), name="call"
            )
            await world.notifier.entered.wait()
            call.cancel()
        await world.notifier.closed.wait()
    assert world.watches.open == 0


@pytest.mark.parametrize("seconds", [1, 1.5, 86400])
async def test_a_time_limit_goes_to_the_router(world: World, seconds: float) -> None:
    async with rest(world) as client:
        answer = await client.post("/v1alpha2", json=v1alpha2(timeout_seconds=seconds))
        await client.post("/v1alpha2", json=v1alpha2(timeout_seconds=None))
    assert answer.status_code == 200
    limits = [submission.timeout for submission, _ in world.router.submitted]
    assert limits == [timedelta(seconds=seconds), None]


@pytest.mark.parametrize("wrong", [0, 0.9, 86400.1, -1, "5", True, [5]])
async def test_a_wrong_time_limit_is_named(world: World, wrong: object) -> None:
    async with rest(world) as client:
        refused = await client.post("/v1alpha2", json=v1alpha2(timeout_seconds=wrong))
    assert refused.status_code == 400
    (error,) = refused.json()["errors"]
    assert error["field"] == "task.metadata.timeout_seconds"


IMAGES = {"init_images": ["https://a/b.png", "iVBOR"]}


@pytest.mark.parametrize(
    ("inputs", "handed_on"),
    [
        (None, None),
        ("none", ()),
        ([], ()),
        (["init_images[0]", "/init_images/1"], ("init_images[0]", "/init_images/1")),
    ],
)
async def test_files_that_a_client_names_go_to_the_router(
    world: World, inputs: object, handed_on: object
) -> None:
    async with rest(world) as client:
        answer = await client.post("/v1alpha2", json=v1alpha2(IMAGES, inputs=inputs))
    assert answer.status_code == 200
    assert world.router.submitted[0][0].inputs == handed_on


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["init_images[2]"], "init_images[2] names no text of the content"),
        (["init_images"], "init_images names no text"),
        ("all", "is wrong"),
        ([""], "is wrong"),
        ([1], "is wrong"),
        ([f"init_images[{number}]" for number in range(65)], "is wrong"),
    ],
)
async def test_wrong_names_of_files_are_told(world: World, wrong: object, said: str) -> None:
    async with rest(world) as client:
        refused = await client.post("/v1alpha2", json=v1alpha2(IMAGES, inputs=wrong))
    assert refused.status_code == 400
    errors = refused.json()["errors"]
    assert all(error["field"].startswith("task.metadata.inputs") for error in errors)
    assert said in errors[-1]["message"] or said in errors[0]["message"]


@pytest.mark.parametrize(("previews", "handed_on"), [(None, None), ("keep", Previews.KEEP)])
async def test_that_previews_are_kept_goes_to_the_router(
    world: World, previews: object, handed_on: object
) -> None:
    async with rest(world) as client:
        answer = await client.post("/v1alpha2", json=v1alpha2(previews=previews))
    assert answer.status_code == 200
    assert world.router.submitted[0][0].previews is handed_on


@pytest.mark.parametrize("wrong", ["drop", "", "KEEP", True, ["keep"]])
async def test_a_wrong_wish_for_previews_is_named(world: World, wrong: object) -> None:
    async with rest(world) as client:
        refused = await client.post("/v1alpha2", json=v1alpha2(previews=wrong))
    assert refused.status_code == 400
    [error] = refused.json()["errors"]
    assert error["field"] == "task.metadata.previews"
    assert "one of keep" in error["message"]


@pytest.mark.parametrize(("include", "handed_on"), [([], ()), (["cost"], (Extra.COST,))])
async def test_what_the_callback_shall_have_goes_to_the_router(
    world: World, include: object, handed_on: object
) -> None:
    async with rest(world) as client:
        answer = await client.post("/v1alpha2", json=v1alpha2(include=include))
    assert answer.status_code == 200
    assert world.router.submitted[0][0].include == handed_on


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        (["seed"], "include.0", "must be one of cost"),
        ([None], "include.0", "must be one of cost"),
        ("cost", "include", "valid"),
        (["cost", "cost"], "include", "at most 1 item"),
    ],
)
async def test_what_no_callback_has_is_named(
    world: World, wrong: object, field: str, said: str
) -> None:
    async with rest(world) as client:
        refused = await client.post("/v1alpha2", json=v1alpha2(include=wrong))
    assert refused.status_code == 400
    [error] = refused.json()["errors"]
    assert error["field"] == f"task.metadata.{field}"
    assert said in error["message"]


async def test_the_url_of_a_task_goes_to_the_router(world: World) -> None:
    url = "https://studio.example.com/of-one"
    async with rest(world) as client:
        answer = await client.post("/v1alpha2", json=v1alpha2(callback_url=url))
        refused = [
            await client.post("/v1alpha2", json=v1alpha2(callback_url=wrong))
            for wrong in ("", 7, "https://x.example/" + "x" * 2048)
        ]
        world.router.error = RejectedError(
            "callback_url is refused",
            code="invalid_request",
            errors=(FieldError("callback_url", "is refused"),),
        )
        refused.append(await client.post("/v1alpha2", json=v1alpha2(callback_url=url)))
    assert answer.status_code == 200
    assert world.router.submitted[0][0].callback_url == url
    told = [(one.status_code, one.json()["errors"][0]["field"]) for one in refused]
    assert told == [(400, "task.metadata.callback_url")] * 4


@pytest.mark.parametrize("id", [UID, "test-t2i"])
async def test_a_task_is_taken_back(world: World, id: str) -> None:
    async with rest(world) as client:
        answer = await client.delete(f"/v1/tasks/{id}")
    assert answer.status_code == 200
    assert (answer.json()["uid"], answer.json()["state"]) == (UID, "cancelled")
    assert "links" not in answer.json()


@pytest.mark.parametrize("id", ["none", ".x", "%00"])
async def test_what_does_not_exist_cannot_be_taken_back(world: World, id: str) -> None:
    async with rest(world) as client:
        refused = await client.delete(f"/v1/tasks/{id}")
    assert (refused.status_code, refused.json()["code"]) == (404, "task_not_found")


async def test_a_finished_task_cannot_be_taken_back(world: World) -> None:
    world.router.known = [task_with(state=TaskState.FAILED)]
    async with rest(world) as client, rpc(world) as stub:
        refused = await client.delete(f"/v1/tasks/{UID}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CancelTask(tasks_pb2.CancelTaskRequest(id=UID), metadata=WITH_KEY)
    assert (refused.status_code, refused.json()["code"]) == (409, "already_finished")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_grpc_takes_a_task_back(world: World) -> None:
    async with rpc(world) as stub:
        request = tasks_pb2.CancelTaskRequest(id="test-t2i")
        answer = await stub.CancelTask(request, metadata=WITH_KEY)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CancelTask(tasks_pb2.CancelTaskRequest(), metadata=WITH_KEY)
    assert answer.task.state == tasks_pb2.TASK_STATE_CANCELLED
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_links_are_added_on_demand_and_never_stored(world: World) -> None:
    async with rest(world) as client:
        plain = await client.get(f"/v1/tasks/{UID}?links=")
        linked = await client.get("/v1/tasks/test-t2i?links=60")
    links = [f"https://files/{UID}-1.png?{SIGNATURE}&s=60", "https://files/x.out"]
    assert linked.json() == {**plain.json(), "links": links}
    assert linked.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("wrong", ["0", "604801", "-1", "x", "1.5", "9" * 5000])
async def test_a_wrong_time_of_links_is_named(world: World, wrong: str) -> None:
    async with rest(world) as client:
        refused = await client.get(f"/v1/tasks/{UID}?links={wrong}")
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == ["links"]
