"""Requests that are large or slow, and many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast

import grpc
import pytest
from ingest_fakes import KEY, World, rest, rpc, rpc_channel, v1alpha2

from darkroom.tasks.v1 import tasks_pb2
from ingest import bodies
from ingest.bodies import READERS, Bodies, BusyError
from servicekit.errors import RejectedError

LIMIT = 1000
METHOD = "/darkroom.tasks.v1.TaskService/SubmitTask"
WITH_KEY = (("x-api-key", KEY),)


def test_room_is_given_back() -> None:
    counted = Bodies(LIMIT, timedelta(seconds=1))
    with counted.room() as take:
        take(600)
        take(400)
        with counted.room() as another, pytest.raises(BusyError):
            another(1)
    with counted.room() as take:
        take(1000)


async def begun(port: int, head: str, sent: bytes = b"") -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    start = f"POST /v1alpha2 HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n"
    start += f"content-type: application/json\r\n{head}\r\n\r\n"
    writer.write(start.encode() + sent)
    await writer.drain()
    return writer


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        ("content-length: 950", b"{"),
        ("transfer-encoding: chunked", b"3b6\r\n" + b" " * 950 + b"\r\n"),
    ],
)
async def test_body_without_room_is_refused_and_may_come_again(head: str, sent: bytes) -> None:
    world = World(body_bytes=LIMIT)
    body = v1alpha2()
    async with rest(world) as client, asyncio.timeout(60):
        writer = await begun(cast("int", client.base_url.port), head, sent)
        while (refused := await client.post("/v1alpha2", json=body)).status_code == 200:
            pass  # not read yet, or not given up yet
        writer.close()
        while (answer := await client.post("/v1alpha2", json=body)).status_code == 503:
            pass  # not read yet, or not given up yet

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["detail"] == "too many large requests at once"
    assert answer.status_code == 200


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("method", ["SubmitTask", "GetTask", "ListTasks", "CancelTask"])
async def test_key_is_checked_before_a_request_is_read(world: World, method: str) -> None:
    async with rpc_channel(world) as channel, asyncio.timeout(60):
        call: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(
            METHOD.replace("SubmitTask", method)
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(nothing(), metadata=(("x-api-key", "wrong"),))

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_message_without_room_is_refused() -> None:
    world = World(body_bytes=LIMIT)
    sent = tasks_pb2.SubmitTaskRequest(
        id="a", runtime="r", tasktype="pipeline", content_json='{"a": "' + "b" * LIMIT + '"}'
    )
    async with rpc(world) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SubmitTask(sent, metadata=WITH_KEY)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert world.router.submitted == []


async def test_messages_that_do_not_arrive_hold_nobody_up_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "RETRY_AFTER", timedelta(milliseconds=10))
    counted = Bodies(LIMIT, timedelta(milliseconds=100))

    async def read() -> None:
        async with counted.reading():
            await asyncio.Event().wait()

    results = await asyncio.gather(
        *(read() for _ in range(READERS + 1)), return_exceptions=True
    )

    assert [type(one) for one in results] == [RejectedError] * READERS + [BusyError]
    async with counted.reading():
        pass
