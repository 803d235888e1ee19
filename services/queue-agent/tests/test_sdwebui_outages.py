"""Runs that are interrupted, hang, or lose their server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sdwebui_jobs import POLL, SILENCE, ignore, job, running, runtime

from queue_agent.domain import (
    Generated,
    RuntimeHangsError,
    RuntimeLostError,
    TaskFailedError,
)
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.runtimes.sdwebui import runtime as sdwebui
from queue_agent.runtimes.sdwebui.progress import State, watch_progress
from queue_agent.runtimes.sdwebui.runtime import Known, SdWebuiRuntime
from servicekit.errors import TransientError
from testkit.sample_runtimes import SampleRuntime


@pytest.fixture
async def http(sdwebui_url: str) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(sdwebui_url) as opened:
        yield opened


async def test_partial_image_of_our_interrupt_is_never_given(http: RuntimeHttp) -> None:
    """The server answers an interrupted call with 200 and an unfinished image."""
    made: list[Generated] = []

    async def run() -> None:
        made.append(await runtime(http).run(job({"prompt": "HANG"}), ignore))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run(), name="run")
        await running(http)
        task.cancel()

    assert made == []
    idle = await runtime(http).run(job({"prompt": "next"}), ignore)
    assert len(idle.files) == 1


@pytest.mark.parametrize("steps", ["many", None], ids=["refused", "done"])
async def test_run_after_an_interrupted_one_ends_as_its_own_answer_says(
    http: RuntimeHttp, steps: str | None
) -> None:
    hanging = asyncio.create_task(runtime(http).run(job({"prompt": "HANG"}), ignore))
    await running(http)
    hanging.cancel()
    await asyncio.wait([hanging])

    if steps is None:
        assert len((await runtime(http).run(job({"prompt": "next"}), ignore)).files) == 1
    else:
        with pytest.raises(TaskFailedError, match=r"body\.steps"):
            await runtime(http).run(job({"steps": steps}), ignore)


async def test_interrupt_by_somebody_else_is_no_result(http: RuntimeHttp) -> None:
    async def interrupt() -> None:
        await running(http)
        await http.post("/sdapi/v1/interrupt")

    async def run() -> None:
        with pytest.raises(TransientError, match="somebody else"):
            await runtime(http).run(job({"prompt": "HANG"}), ignore)

    async with asyncio.TaskGroup() as group:
        group.create_task(run(), name="run")
        group.create_task(interrupt(), name="interrupt")


async def test_server_that_dies_is_lost(own_sdwebui: SampleRuntime) -> None:
    url, process = own_sdwebui

    async def run(http: RuntimeHttp) -> None:
        with pytest.raises(RuntimeLostError):
            await runtime(http).run(job({"prompt": "HANG"}), ignore)

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        group.create_task(run(http), name="run")
        await running(http)
        process.kill()

    async with runtime_http(url) as http:
        with pytest.raises(RuntimeLostError):
            await runtime(http).probe()


async def test_server_that_falls_silent_is_lost(
    own_sdwebui: SampleRuntime,
) -> None:
    url, process = own_sdwebui

    async def run(http: RuntimeHttp) -> None:
        with pytest.raises(RuntimeLostError, match="silent"):
            await runtime(http).run(job({"prompt": "HANG"}), ignore)

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        group.create_task(run(http), name="run")
        await running(http)
        process.send_signal(signal.SIGSTOP)


async def test_run_with_models_that_the_last_one_had_not_may_take_longer(
    http: RuntimeHttp,
) -> None:
    runtime = SdWebuiRuntime(
        http=http,
        dynamic=False,
        poll=POLL,
        silence=SILENCE,
        loaded=LoadedModels(load_time=timedelta(hours=1)),
    )

    assert runtime.loading(job({})) == timedelta(hours=1)
    await runtime.run(job({}), ignore)
    assert not runtime.loading(job({}))


class Stuck:
    """A server that answers, but whose run neither moves nor ends, even when interrupted."""

    def __init__(self) -> None:
        self.busy, self.looks = True, 0
        self.app = web.Application()
        self.app.router.add_get("/sdapi/v1/progress", self._progress)
        self.app.router.add_get("/sdapi/v1/memory", self._fine)
        self.app.router.add_post("/sdapi/v1/interrupt", self._fine)
        self.app.router.add_post("/sdapi/v1/txt2img", self._for_ever)

    async def _progress(self, _: web.Request) -> web.Response:
        self.looks += 1
        return web.json_response({"state": {"job": "stuck" if self.busy else ""}})

    async def _for_ever(self, _: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def _fine(self, _: web.Request) -> web.Response:
        return web.json_response({})


async def test_run_that_shows_no_progress_goes_on_while_the_server_answers() -> None:
    """Some servers never move it, so it proves nothing; the run's own limit ends it (E1)."""
    stuck = Stuck()
    server = TestServer(stuck.app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        still = SdWebuiRuntime(http=http, dynamic=False, poll=POLL, silence=SILENCE)
        run = asyncio.create_task(still.run(job({}), ignore))
        async with asyncio.timeout(60):
            while stuck.looks < 20:  # noqa: ASYNC110  # it is asked as time goes by
                await asyncio.sleep(0.01)
        assert not run.done()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_answers_that_show_no_progress_are_no_silence() -> None:
    looks = 0

    async def read() -> State:
        nonlocal looks
        looks += 1
        return {"job": "stuck"}

    watch = watch_progress(read, {}, ignore, poll=POLL, lost=POLL * 3)
    watching = asyncio.create_task(watch)
    while looks < 20 and not watching.done():  # noqa: ASYNC110  # it is asked as time goes by
        await asyncio.sleep(0.01)

    assert not watching.done()
    watching.cancel()


async def test_runtime_that_goes_on_with_an_interrupted_run_is_not_ready_meanwhile() -> None:
    stuck = Stuck()
    server = TestServer(stuck.app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        runtime = SdWebuiRuntime(http=http, dynamic=False, poll=POLL, silence=SILENCE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await runtime.run(job({}), ignore)
        with pytest.raises(RuntimeHangsError, match="goes on"):
            await runtime.probe()
        stuck.busy = False
        await runtime.probe()


async def test_runtime_that_seems_to_hang_for_ever_is_tried_again(
    http: RuntimeHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdwebui, "MOST_HANGING", timedelta())
    runtime = SdWebuiRuntime(
        http=http,
        dynamic=False,
        poll=POLL,
        silence=timedelta(seconds=5),
        known=Known(hanging=asyncio.get_running_loop().time()),
    )
    hanging = asyncio.create_task(http.post("/sdapi/v1/txt2img", json={"prompt": "HANG"}))
    await running(http)

    await runtime.probe()

    await http.post("/sdapi/v1/interrupt")
    await hanging
