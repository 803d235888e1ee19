from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from comfyui_jobs import (
    POLL,
    emptied,
    graph,
    ignore,
    job,
    queue,
    running,
    runtime,
)
from watched_http import Watched

from queue_agent.domain import (
    Job,
    RunInterruptedError,
    RuntimeHangsError,
    RuntimeLostError,
)
from queue_agent.runtimes.comfyui.prompt_ids import prompt_id_of
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from servicekit.errors import TransientError
from testkit.sample_runtimes import SampleRuntime


@pytest.fixture
async def http(comfyui_url: str) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(comfyui_url) as opened:
        yield opened


async def test_server_that_dies_is_lost_at_once(
    own_comfyui: SampleRuntime,
) -> None:
    url, process = own_comfyui
    wanted = job(graph("HANG"))

    async def run(http: RuntimeHttp) -> None:
        patient = ComfyUiRuntime(http=http, poll=POLL, silence=timedelta(hours=1))
        with pytest.raises(RuntimeLostError):
            await patient.run(wanted, ignore)

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        group.create_task(run(http), name="run")
        await running(http, prompt_id_of(wanted.uid, 1))
        process.kill()


async def test_server_that_falls_silent_is_lost(
    own_comfyui: SampleRuntime,
) -> None:
    url, process = own_comfyui
    wanted = job(graph("HANG"))

    async def run(http: RuntimeHttp) -> None:
        with pytest.raises(RuntimeLostError, match="silent"):
            await runtime(http).run(wanted, ignore)

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        group.create_task(run(http), name="run")
        await running(http, prompt_id_of(wanted.uid, 1))
        process.send_signal(signal.SIGSTOP)


def _remove_images(folder: Path) -> None:
    for image in folder.rglob("*.png"):
        image.unlink()


async def test_result_that_was_removed_is_made_again_at_the_next_attempt(
    own_comfyui: SampleRuntime, tmp_path: Path
) -> None:
    """The cache answers the same graph with the name of a file that is no more."""
    url, _ = own_comfyui

    async with runtime_http(url) as http:
        first = await runtime(http).run(job(graph()), ignore)
        _remove_images(tmp_path)
        again = job(graph())
        with pytest.raises(RunInterruptedError, match="is no more"):
            await runtime(http).run(again, ignore)
        retried = await runtime(http).run(replace(again, attempt=2), ignore)

    assert len(retried.files) == len(first.files)


async def test_prompt_with_another_model_may_take_longer(http: RuntimeHttp) -> None:
    server = runtime(http)
    server.loaded.load_time = timedelta(hours=1)
    other = graph("next")
    [loader] = [node for node in other.values() if "ckpt_name" in node["inputs"]]

    await server.run(job(graph("first")), ignore)
    assert not server.loading(job({"prompt": graph("again")}))
    loader["inputs"]["ckpt_name"] = "other.safetensors"
    assert server.loading(job(other)) == timedelta(hours=1)


async def test_runtime_is_not_ready_while_a_prompt_goes_on_that_was_interrupted(
    http: RuntimeHttp,
) -> None:
    stuck, wanted = runtime(http), job(graph("HANG"))
    prompt_id = prompt_id_of(wanted.uid, 1)
    await http.post("/prompt", json={"prompt": wanted.content, "prompt_id": prompt_id})
    await running(http, prompt_id)
    stuck.hanging.add(prompt_id)

    with pytest.raises(RuntimeHangsError, match="goes on"):
        await stuck.probe()

    await http.post("/interrupt")
    await emptied(http)
    await stuck.probe()


async def test_prompt_begins_when_the_server_begins_with_it(http: RuntimeHttp) -> None:
    """Behind a foreign prompt it waits: its clock stands, and it pays for no death (E3, D2)."""
    other, wanted = job(graph("HANG other")), job(graph("waits"))
    foreign, ours = prompt_id_of(other.uid, 1), prompt_id_of(wanted.uid, 1)
    await http.post("/prompt", json={"prompt": other.content, "prompt_id": foreign})
    await running(http, foreign)
    watched, begun = Watched(session=http.session), asyncio.Event()

    async def end_the_other() -> None:
        await running(http, ours)
        await watched.looks()
        assert not begun.is_set()
        await http.post("/interrupt")

    async def run() -> None:
        made = await runtime(watched).run(wanted, ignore, started=begun.set)
        assert len(made.files) == 1

    async with asyncio.TaskGroup() as group:
        group.create_task(end_the_other(), name="end-the-other")
        group.create_task(run(), name="run")

    assert begun.is_set()


async def test_prompt_that_tells_nothing_goes_on_while_the_server_answers(
    http: RuntimeHttp,
) -> None:
    """E2: upscalers and decoders are silent for long; the task's own limit ends them."""
    wanted = job(graph("HANG"))
    watched = Watched(session=http.session)

    run = asyncio.create_task(runtime(watched).run(wanted, ignore))
    await watched.looks(100)
    assert not run.done()

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await emptied(http)


async def test_only_the_prompt_that_was_executing_has_begun_when_the_server_dies(
    own_comfyui: SampleRuntime,
) -> None:
    """D2: a killer, and a harmless prompt that waits behind it."""
    url, process = own_comfyui
    killer, neighbour = job(graph("HANG")), job(graph("harmless"))
    begun: list[str] = []

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        watched = Watched(session=http.session)
        server = ComfyUiRuntime(http=watched, poll=POLL, silence=timedelta(hours=1))

        async def run(one: Job, name: str) -> None:
            with pytest.raises(RuntimeLostError):
                await server.run(one, ignore, started=lambda: begun.append(name))

        group.create_task(run(killer, "killer"), name="killer")
        await running(http, prompt_id_of(killer.uid, 1))
        group.create_task(run(neighbour, "neighbour"), name="neighbour")
        await running(http, prompt_id_of(neighbour.uid, 1))
        await watched.looks()
        process.kill()

    assert set(begun) == {"killer"}


async def test_next_prompt_is_queued_before_the_present_one_ends(http: RuntimeHttp) -> None:
    first, second = job(graph("HANG")), job(graph("second"))
    server = runtime(http)

    async def interrupted() -> None:
        with pytest.raises(TransientError):
            await server.run(first, ignore)

    async with asyncio.TaskGroup() as group:
        group.create_task(interrupted(), name="first")
        await running(http, prompt_id_of(first.uid, 1))
        made = group.create_task(server.run(second, ignore), name="second")
        await running(http, prompt_id_of(second.uid, 1))
        assert await queue(http) == [prompt_id_of(first.uid, 1), prompt_id_of(second.uid, 1)]
        await http.post("/interrupt")

    assert len(made.result().files) == 1


async def test_server_that_forgot_the_prompt_is_lost(http: RuntimeHttp) -> None:
    wanted = job(graph("HANG first"))
    waiting = job(graph("second"))

    async def run_first() -> None:
        with pytest.raises(TransientError):
            await runtime(http).run(wanted, ignore)

    async def run_second() -> None:
        with pytest.raises(RuntimeLostError, match="forgotten"):
            await runtime(http).run(waiting, ignore)

    async with asyncio.TaskGroup() as group:
        group.create_task(run_first(), name="first")
        await running(http, prompt_id_of(wanted.uid, 1))
        second = group.create_task(run_second(), name="second")
        await running(http, prompt_id_of(waiting.uid, 1))
        await http.post("/queue", json={"clear": True})
        await second
        await http.post("/interrupt")


class Unsteady:
    """A server that drops websockets, and the first answer to a prompt if told to."""

    def __init__(self, *, drop_answer: bool) -> None:
        self.posts: list[str] = []
        self.connects = 0
        self._drop_answer = drop_answer
        self.app = web.Application()
        self.app.router.add_get("/ws", self._websocket)
        self.app.router.add_post("/prompt", self._prompt)
        self.app.router.add_get("/history/{id}", self._history)
        self.app.router.add_get("/queue", self._queue)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        self.connects += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return socket

    async def _prompt(self, request: web.Request) -> web.Response:
        self.posts.append((await request.json())["prompt_id"])
        if self._drop_answer and request.transport:
            request.transport.abort()
        return web.json_response({"prompt_id": self.posts[0], "number": 0, "node_errors": {}})

    async def _history(self, _: web.Request) -> web.Response:
        done = {"status": {"status_str": "success", "completed": True}, "outputs": {}}
        # It goes on until its third websocket.
        ended = self.posts and self.connects > 2
        return web.json_response({self.posts[0]: done} if ended else {})

    async def _queue(self, _: web.Request) -> web.Response:
        items = [[0, one, {}, {}, []] for one in self.posts]
        return web.json_response({"queue_running": items, "queue_pending": []})


@pytest.mark.parametrize("drop_answer", [False, True])
async def test_dropped_connections_do_not_queue_the_prompt_again(drop_answer: bool) -> None:
    unsteady = Unsteady(drop_answer=drop_answer)
    server = TestServer(unsteady.app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        await runtime(http).run(job(graph()), ignore)

    assert len(unsteady.posts) == 1
