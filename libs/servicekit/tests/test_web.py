from __future__ import annotations

import asyncio
import os
import socket

import httpx
import psutil
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from servicekit.errors import FatalError
from servicekit.health import Health
from servicekit.listen import free_port
from servicekit.web import http_serving, ops_app


async def test_operators_see_whether_the_process_lives_and_is_ready(port: int) -> None:
    health = Health()
    async with (
        http_serving(ops_app(health), "127.0.0.1", port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        alive = await client.get("/healthz")
        starting = await client.get("/readyz")
        await health.ready()
        ready = await client.get("/readyz")
        await health.not_ready("stopping")
        stopping = await client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (starting.status_code, starting.json()["reason"]) == (503, "starting")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert (stopping.status_code, stopping.json()["reason"]) == (503, "stopping")


async def test_metrics_are_in_the_text_format_of_prometheus(port: int) -> None:
    async with (
        http_serving(ops_app(Health()), "127.0.0.1", port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE python_info gauge" in answer.text


async def test_an_answer_does_not_wait_for_its_headers_to_be_acknowledged(port: int) -> None:
    held_back = []

    async def look(request: Request) -> Response:
        for connection in psutil.Process().net_connections("tcp4"):
            if connection.laddr.port == port and connection.raddr:
                with socket.socket(fileno=os.dup(connection.fd)) as accepted:
                    no_delay = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                held_back.append(not no_delay)
        return PlainTextResponse("done")

    async with (
        http_serving(Starlette(routes=[Route("/", look)]), "127.0.0.1", port),
        httpx.AsyncClient(trust_env=False) as client,
    ):
        await client.get(f"http://127.0.0.1:{port}/")
    assert held_back == [False]


async def test_an_http_port_in_use_is_fatal_in_one_sentence() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(FatalError) as caught:
            async with http_serving(ops_app(Health()), "127.0.0.1", port):
                pass
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"


async def test_a_request_in_flight_is_answered_when_the_server_stops(port: int) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        begun.set()
        await go_on.wait()
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/", slow)])
    async with httpx.AsyncClient(trust_env=False) as client:
        async with asyncio.TaskGroup() as group, http_serving(app, "127.0.0.1", port):
            call = group.create_task(client.get(f"http://127.0.0.1:{port}/"), name="call")
            await begun.wait()
            asyncio.get_running_loop().call_soon(go_on.set)
        assert call.result().text == "done"


async def test_a_server_that_has_stopped_frees_its_http_port() -> None:
    port = free_port()
    for _ in range(2):
        async with (
            http_serving(ops_app(Health()), "127.0.0.1", port),
            httpx.AsyncClient(trust_env=False) as client,
        ):
            assert (await client.get(f"http://127.0.0.1:{port}/healthz")).is_success


async def test_an_error_in_the_block_ends_the_server_and_comes_through(port: int) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with http_serving(ops_app(Health()), "127.0.0.1", port):
            raise FatalError("the GPU is gone")
    assert caught.value.subgroup(FatalError) is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)
