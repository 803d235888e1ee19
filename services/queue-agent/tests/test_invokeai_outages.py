"""Servers that die, fall silent, forget, or drop answers; and whose turn it is."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from invokeai_jobs import (
    QUEUE,
    graph,
    ignore,
    job,
    reached,
    runtime,
)
from watched_http import Watched

from queue_agent.domain import Generated, Job, RuntimeLostError
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.runtime import InvokeAiRuntime
from testkit.sample_runtimes import SampleRuntime


@pytest.fixture
async def http(invokeai_url: str) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(invokeai_url) as opened:
        yield opened


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_server_that_dies_or_falls_silent_is_lost(
    own_invokeai: SampleRuntime, number: signal.Signals
) -> None:
    url, process = own_invokeai
    wanted = job(graph("HANG"))

    async def run(http: RuntimeHttp) -> None:
        with pytest.raises(RuntimeLostError):
            await runtime(http).run(wanted, ignore)

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        group.create_task(run(http), name="run")
        await reached(http, f"{wanted.uid}-1", "in_progress")
        process.send_signal(number)


async def test_next_item_waits_in_the_servers_queue_and_only_the_first_pays_when_it_dies(
    own_invokeai: SampleRuntime,
) -> None:
    """E5, D2: the server has no pause between two items that it has."""
    url, process = own_invokeai
    killer, neighbour = job(graph("HANG")), job(graph("harmless"))
    begun: list[str] = []

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        watched = Watched(session=http.session)

        async def run(server: InvokeAiRuntime, one: Job, name: str) -> None:
            with pytest.raises(RuntimeLostError):
                await server.run(one, ignore, started=lambda: begun.append(name))

        group.create_task(run(runtime(http), killer, "killer"), name="killer")
        await reached(http, f"{killer.uid}-1", "in_progress")
        group.create_task(run(runtime(watched), neighbour, "neighbour"), name="neighbour")
        item = await reached(http, f"{neighbour.uid}-1", "pending")
        await watched.looks(2, f"/api/v1/queue/default/i/{item}")
        process.kill()

    assert set(begun) == {"killer"}


async def test_two_items_are_done_one_after_the_other(http: RuntimeHttp) -> None:
    server, begun = runtime(http), list[int]()

    async def run(number: int) -> int:
        wanted = job(graph(f"number {number}"))
        made = await server.run(wanted, ignore, started=lambda: begun.append(number))
        return len(made.files)

    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(run(number), name=f"run-{number}") for number in range(2)]

    assert [one.result() for one in runs] == [1, 1]
    assert set(begun) == {0, 1}


async def test_server_that_forgot_the_item_is_lost(http: RuntimeHttp) -> None:
    wanted = job(graph("HANG"))

    async def run() -> None:
        with pytest.raises(RuntimeLostError, match="forgotten"):
            await runtime(http).run(wanted, ignore)

    async with asyncio.TaskGroup() as group:
        group.create_task(run(), name="run")
        item_id = await reached(http, f"{wanted.uid}-1", "in_progress")
        async with http.session.delete(f"{QUEUE}/i/{item_id}") as answer:
            assert answer.ok


class Unsteady:
    """A server that drops the first answer to a batch, and may list nothing."""

    def __init__(self, *, lists: bool) -> None:
        self.taken: list[dict[str, Any]] = []
        self._lists = lists
        self.app = web.Application()
        self.app.router.add_post(f"{QUEUE}/enqueue_batch", self._enqueue)
        self.app.router.add_get(f"{QUEUE}/i/1", self._item)
        if lists:
            self.app.router.add_get(f"{QUEUE}/list_all", self._list)

    def _shown(self) -> dict[str, Any]:
        destination = self.taken[0]["batch"]["destination"]
        return {"item_id": 1, "status": "completed", "destination": destination}

    async def _enqueue(self, request: web.Request) -> web.Response:
        self.taken.append(await request.json())
        if self._lists and request.transport:
            request.transport.abort()
        return web.json_response({"item_ids": [1]}, status=201)

    async def _item(self, _: web.Request) -> web.Response:
        return web.json_response(self._shown())

    async def _list(self, _: web.Request) -> web.Response:
        # Of somebody else, too: it does not know the filter.
        other = {"item_id": 7, "status": "pending", "destination": "gallery"}
        return web.json_response([self._shown(), other] if self.taken else [other])


@pytest.mark.parametrize("lists", [True, False])
async def test_batch_is_queued_once_by_a_server_that_drops_answers_or_lists_nothing(
    lists: bool,
) -> None:
    unsteady = Unsteady(lists=lists)
    server = TestServer(unsteady.app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        made = await runtime(http).run(job(graph()), ignore)

    assert made == Generated(files=(), answer=made.answer)
    assert len(unsteady.taken) == 1
