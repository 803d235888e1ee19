"""Server-sent events through the real server, and what gRPC makes of the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import httpx
import pytest
from ingest_fakes import KEY, TASK, UID, World, change, rest, rpc, task_with

from contracts.ids import new_uid
from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskProgress
from darkroom.tasks.v1 import tasks_pb2
from ingest.http.events import events
from servicekit.errors import TransientError
from servicekit.listen import free_port
from servicekit.web import http_serving

DONE = change(9, state=TaskState.COMPLETED, progress=None, image_url=("s3://b/1.png",))
WITH_KEY = (("x-api-key", KEY),)


@asynccontextmanager
async def stream(
    client: httpx.AsyncClient, path: str = f"/v1/tasks/{UID}/events", **headers: str
) -> AsyncIterator[httpx.Response]:
    async with asyncio.timeout(60), client.stream("GET", path, headers=headers) as response:
        yield response


async def parsed(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, str]]:
    """Each event as its fields, a comment under an empty name."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield fields
            fields = {}


async def everything(response: httpx.Response) -> list[tuple[str, str, dict[str, Any]]]:
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    return [
        (event["id"], event["event"], json.loads(event["data"]))
        async for event in parsed(response.aiter_lines())
    ]


async def test_a_task_is_followed_to_its_end(world: World) -> None:
    world.notifier.tell(change(1, state=TaskState.QUEUED, progress=None), change(2))
    world.notifier.tell(change(3, progress=TaskProgress(step=2, total=3)), DONE)
    async with rest(world) as client:
        task = (await client.get(f"/v1/tasks/{UID}")).json()
        async with stream(client, "/v1/tasks/test-t2i/events") as response:
            found = await everything(response)

    assert [(id, name) for id, name, _ in found] == [
        (f"{UID}-1", "state"), (f"{UID}-2", "state"), (f"{UID}-3", "progress"),
        (f"{UID}-9", "state"),
    ]  # fmt: skip
    assert found[1][2] == task
    assert found[2][2] == {"uid": UID, "attempt": 1, "step": 2, "total": 3, "percent": 66.7}
    assert found[3][2]["state"] == "completed"
    assert world.notifier.asked == [(UID, 0)]


@pytest.mark.parametrize("text", [f"{UID}-7", "7"])
async def test_a_client_resumes_after_the_last_event_that_it_has(
    world: World, text: str
) -> None:
    world.notifier.tell(DONE)
    last = {"Last-Event-ID": text}
    async with rest(world) as client, stream(client, **last) as response:
        found = await everything(response)
    assert [id for id, _, _ in found] == [f"{UID}-9"]
    assert world.notifier.asked == [(UID, 7)]


async def test_an_event_of_an_earlier_submission_hides_nothing_of_this_one(
    world: World,
) -> None:
    world.router.known = [task_with(state=TaskState.COMPLETED)]
    world.notifier.tell(DONE)
    last = {"Last-Event-ID": f"{new_uid()}-9"}
    async with rest(world) as client, stream(client, **last) as response:
        found = await everything(response)
    assert [id for id, _, _ in found] == [f"{UID}-9"]
    assert world.notifier.asked == [(UID, 0)]


async def test_a_restart_of_the_notifier_is_not_seen_by_the_client(world: World) -> None:
    world.notifier.tell(change(2), TransientError("it restarts"), DONE)
    async with rest(world) as client, stream(client) as response:
        found = await everything(response)
    assert [id for id, _, _ in found] == [f"{UID}-2", f"{UID}-9"]
    assert world.notifier.asked == [(UID, 0), (UID, 2)]


async def test_a_client_that_has_seen_the_end_is_told_not_to_come_again(world: World) -> None:
    world.router.known = [task_with(state=TaskState.COMPLETED)]
    world.notifier.tell(None)
    async with (
        rest(world) as client,
        stream(client, **{"Last-Event-ID": f"{UID}-9"}) as response,
    ):
        assert (response.status_code, await response.aread()) == (204, b"")


async def test_a_client_that_leaves_frees_the_stream_behind(world: World) -> None:
    world.notifier.tell(change(2))
    async with rest(world) as client:
        async with stream(client) as response:
            await anext(parsed(response.aiter_lines()))
            assert world.watches.open == 1
        async with asyncio.timeout(60):
            await world.notifier.closed.wait()
    assert (world.notifier.open, world.watches.open) == (0, 0)


async def test_streams_end_when_the_process_stops(world: World) -> None:
    world.notifier.tell(change(2))
    async with rest(world) as client, stream(client) as response:
        lines = parsed(response.aiter_lines())
        await anext(lines)
        world.watches.close()
        assert [event async for event in lines] == []


async def test_a_silent_stream_is_kept_alive_by_comments(world: World) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        soon = timedelta(milliseconds=5)
        response = await events(world.watches, TASK, 0, keep_alive=soon)
        await response(scope, receive, send)

    port = free_port()
    async with (
        http_serving(app, "127.0.0.1", port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        stream(client, "/") as response,
    ):
        assert await anext(parsed(response.aiter_lines())) == {"": "keep-alive"}


async def test_too_many_streams_are_told_to_come_again() -> None:
    world = World(streams=1)
    world.notifier.tell(change(2))
    async with rest(world) as client, stream(client) as response:
        await anext(parsed(response.aiter_lines()))
        refused = await client.get(f"/v1/tasks/{UID}/events")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 19, f"{UID}-", f"{UID}-x", "a-1"])
async def test_a_wrong_last_event_is_named(world: World, text: str) -> None:
    async with rest(world) as client:
        refused = await client.get(f"/v1/tasks/{UID}/events", headers={"Last-Event-ID": text})
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == ["Last-Event-ID"]


@pytest.mark.parametrize("id", ["none", ".x"])
async def test_a_task_that_does_not_exist_has_no_events(world: World, id: str) -> None:
    async with rest(world) as client:
        refused = await client.get(f"/v1/tasks/{id}/events")
    assert (refused.status_code, refused.json()["code"]) == (404, "task_not_found")


async def test_events_need_a_key(world: World) -> None:
    async with rest(world, None) as client:
        assert (await client.get(f"/v1/tasks/{UID}/events")).status_code == 401


async def test_grpc_streams_the_same(world: World) -> None:
    world.notifier.tell(change(4), TransientError("it restarts"), DONE)
    request = tasks_pb2.WatchTaskRequest(id="test-t2i", after_sequence=3)
    async with rpc(world) as stub:
        call = stub.WatchTask(request, metadata=WITH_KEY, timeout=60)
        found = [(each.sequence, each.task.state) async for each in call]
    assert found == [(4, tasks_pb2.TASK_STATE_RUNNING), (9, tasks_pb2.TASK_STATE_COMPLETED)]
    assert world.notifier.asked == [(UID, 3), (UID, 4)]


@pytest.mark.parametrize(("uid", "after"), [(UID, 3), (new_uid(), 0)])
async def test_grpc_counts_from_the_task_that_the_client_has_seen(
    world: World, uid: str, after: int
) -> None:
    world.notifier.tell(DONE)
    request = tasks_pb2.WatchTaskRequest(id="test-t2i", after_sequence=3, after_uid=uid)
    async with rpc(world) as stub:
        call = stub.WatchTask(request, metadata=WITH_KEY, timeout=60)
        assert [each.sequence async for each in call] == [9]
    assert world.notifier.asked == [(UID, after)]


async def test_a_grpc_client_that_leaves_frees_the_stream_behind(world: World) -> None:
    world.notifier.tell(change(4))
    async with rpc(world) as stub, asyncio.timeout(60):
        call = stub.WatchTask(tasks_pb2.WatchTaskRequest(id=UID), metadata=WITH_KEY)
        await call.read()
        call.cancel()
        await world.notifier.closed.wait()
    assert world.notifier.open == 0


@pytest.mark.parametrize(
    ("id", "key", "status"),
    [
        ("none", KEY, grpc.StatusCode.NOT_FOUND),
        ("", KEY, grpc.StatusCode.INVALID_ARGUMENT),
        (UID, "wrong", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_grpc_refuses_as_for_one_task(
    world: World, id: str, key: str, status: grpc.StatusCode
) -> None:
    async with rpc(world) as stub:
        call = stub.WatchTask(
            tasks_pb2.WatchTaskRequest(id=id), metadata=(("x-api-key", key),), timeout=60
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is status
