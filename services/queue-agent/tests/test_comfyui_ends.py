"""Ends are noticed at once, and progress is that of the whole graph."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from comfyui_jobs import graph, ignore, job, node

from contracts.state import Progress
from queue_agent.ports import Report
from queue_agent.runtimes.comfyui import follow
from queue_agent.runtimes.comfyui.progress import GraphProgress
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime
from queue_agent.runtimes.forward import forward
from queue_agent.runtimes.http import runtime_http


@dataclass
class Comfy:
    """A ComfyUI whose history has an end a while after its websocket has told of it."""

    lag: float
    history_takes: float = 0.0
    works: float = 0.1
    ws_takes: float = 0.0
    asked: list[str] = field(default_factory=list)
    done: dict[str, float] = field(default_factory=dict)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ws", self.ws)
        app.router.add_post("/prompt", self.prompt)
        app.router.add_get("/history/{id}", self.history)
        app.router.add_get("/queue", self.queue)
        app.router.add_route("*", "/{rest:.*}", self.nothing)
        return app

    async def nothing(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def queue(self, _: web.Request) -> web.Response:
        self.asked.append("queue")
        running = [[1, name, {}, {}, []] for name in self.done if not self._is_done(name)]
        return web.json_response({"queue_running": running, "queue_pending": []})

    def _is_done(self, name: str) -> bool:
        return time.monotonic() >= self.done[name]

    async def history(self, request: web.Request) -> web.Response:
        self.asked.append("history")
        name = request.match_info["id"]
        known = name in self.done and self._is_done(name)
        await asyncio.sleep(self.history_takes)  # what it answers is older than its answer
        status = {"status_str": "success", "completed": True, "messages": []}
        entry = {"outputs": {"6": {"text": ["x"]}}, "status": status}
        return web.json_response({name: entry} if known else {})

    async def ws(self, request: web.Request) -> web.WebSocketResponse:
        await asyncio.sleep(self.ws_takes)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for _ in socket:
            pass
        return socket

    async def prompt(self, request: web.Request) -> web.Response:
        name = (await request.json())["prompt_id"]
        self.done[name] = float("inf")
        asyncio.get_running_loop().call_later(
            self.works, lambda: asyncio.ensure_future(self.end(name))
        )
        return web.json_response({"prompt_id": name, "number": 1, "node_errors": {}})

    async def end(self, name: str) -> None:
        self.done[name] = time.monotonic() + self.lag
        for socket in self.sockets:
            await socket.send_json({"type": "execution_success", "data": {"prompt_id": name}})


@asynccontextmanager
async def slow_poll(comfy: Comfy) -> AsyncIterator[ComfyUiRuntime]:
    server = TestServer(comfy.app())
    async with server, runtime_http(str(server.make_url("/"))) as http:
        hour = timedelta(hours=1)
        yield ComfyUiRuntime(http=http, poll=hour, silence=hour)


@pytest.mark.parametrize("history_takes", [0, 0.06])
@pytest.mark.parametrize("lag", [0, 0.005, 0.05])
async def test_end_is_noticed_at_once_although_the_history_has_it_later(
    lag: float, history_takes: float
) -> None:
    comfy = Comfy(lag, history_takes)

    async with asyncio.timeout(120), slow_poll(comfy) as runtime:
        await runtime.run(job(graph()), ignore)


async def test_end_that_was_told_before_anybody_listened_is_noticed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follow, "LISTEN_WITHIN", timedelta())
    comfy = Comfy(lag=0.05, works=0, ws_takes=0.03)

    async with asyncio.timeout(120), slow_poll(comfy) as runtime:
        await runtime.run(job(graph()), ignore)


async def test_prompt_is_not_looked_for_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LISTEN_WITHIN", timedelta(seconds=60))
    comfy = Comfy(lag=0, works=0.5)

    async with asyncio.timeout(120), slow_poll(comfy) as runtime:
        await runtime.run(job(graph()), ignore)

    before, after, at_its_end = ["queue", "history"], ["history", "queue"], ["history"]
    assert comfy.asked == [*before, *after, *at_its_end]


def heard(
    progress: GraphProgress, *events: tuple[str, dict[str, Any]]
) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    report: Report = forward(lambda one: seen.append((one.step, one.total)))
    for kind, content in events:
        if news := progress.hear(kind, content):
            report(news)
    return seen


def step(node_id: str, value: int, total: int) -> tuple[str, dict[str, Any]]:
    return "progress", {"node": node_id, "value": value, "max": total}


def at(node_id: str | None) -> tuple[str, dict[str, Any]]:
    return "executing", {"node": node_id}


def test_two_samplers_are_one_progress() -> None:
    two = GraphProgress.of({"a": node("KSampler", steps=10), "b": node("KSampler", steps=30)})

    seen = heard(two, at("a"), step("a", 1, 10), step("a", 10, 10), at("b"), step("b", 1, 30))

    assert seen == [(1, 40), (10, 40), (10, 40), (11, 40)]


def test_cached_samplers_and_schedulers_are_not_waited_for() -> None:
    progress = GraphProgress.of(
        {
            "old": node("KSampler", steps=50),
            "sigmas": node("BasicScheduler", steps=20),
            "linked": node("KSampler", steps=["9", 0]),
            "a": node("SamplerCustomAdvanced"),
        }
    )
    cached = ("execution_cached", {"nodes": ["old"]})

    seen = heard(progress, cached, at("sigmas"), at("a"), step("a", 5, 20), at("linked"))

    assert seen == [(5, 40), (20, 40)]


def test_progress_never_goes_back() -> None:
    tiles = GraphProgress.of({"up": node("UltimateSDUpscale", steps=4)})

    seen = heard(
        tiles, at("up"), step("up", 4, 4), step("up", 1, 4), at("x"), step("x", 1, 100)
    )

    assert [one[0] / one[1] for one in seen] == sorted(one[0] / one[1] for one in seen)


async def test_real_run_of_two_samplers_goes_forward_over_all(comfyui_url: str) -> None:
    second = node(
        "KSampler", **{**graph()["4"]["inputs"], "latent_image": ["4", 0], "steps": 6}
    )
    wanted = graph("two samplers", **{"8": second})
    wanted["5"]["inputs"]["samples"] = ["8", 0]
    seen: list[Progress] = []

    async with runtime_http(comfyui_url) as http:
        hour = timedelta(hours=1)
        await ComfyUiRuntime(http=http, poll=hour, silence=hour).run(job(wanted), seen.append)

    fractions = [one.step / one.total for one in seen]
    assert {one.total for one in seen} == {16}
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
