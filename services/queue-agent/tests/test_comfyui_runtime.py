from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from contracts.ids import TaskId, Uid, new_uid
from contracts.kinds import TaskType
from queue_agent.adapters.comfyui import ComfyUiRuntime
from queue_agent.adapters.comfyui_answers import FileRef, check_ending, has_text, results
from queue_agent.adapters.runtime_http import RuntimeHttp, runtime_http
from queue_agent.domain import (
    File,
    Job,
    Progress,
    RuntimeHangsError,
    RuntimeLostError,
    TaskFailedError,
)
from queue_agent.filetype import PNG, file_type
from queue_agent.out_document import ComfyUiOut
from servicekit.errors import TransientError

POLL = timedelta(milliseconds=20)
CHECKPOINT = "v1-5-pruned-emaonly.safetensors"


@pytest.fixture
async def http(comfyui_url: str) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(comfyui_url) as opened:
        yield opened


def runtime(http: RuntimeHttp) -> ComfyUiRuntime:
    return ComfyUiRuntime(http=http, poll=POLL, silence=timedelta(seconds=1))


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def graph(text: str = "a dog", /, **more: Any) -> dict[str, Any]:
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "2": node("CLIPTextEncode", text=text, clip=["1", 1]),
        "3": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "4": node(
            "KSampler",
            model=["1", 0],
            seed=1,
            steps=10,
            cfg=7,
            sampler_name="euler",
            scheduler="normal",
            positive=["2", 0],
            negative=["2", 0],
            latent_image=["3", 0],
            denoise=1,
        ),
        "5": node("VAEDecode", samples=["4", 0], vae=["1", 2]),
        "6": node("SaveImage", images=["5", 0], filename_prefix="sub/folder"),
        **more,
    }


def job(content: dict[str, Any], uid: Uid | None = None, attempt: int = 1) -> Job:
    return Job(
        uid=uid or new_uid(), attempt=attempt, tasktype=TaskType.PIPELINE, content=content
    )


def ignore(_: Progress) -> None: ...


async def queue(http: RuntimeHttp) -> list[str]:
    body = (await http.get("/queue")).body
    return [item[1] for item in body["queue_running"] + body["queue_pending"]]


async def running(http: RuntimeHttp, prompt_id: str) -> None:
    """Wait until the server works on a prompt."""
    async with asyncio.timeout(20):
        while prompt_id not in await queue(http):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0)


async def test_running_server_is_ready(http: RuntimeHttp) -> None:
    await runtime(http).probe()


@pytest.mark.parametrize("wrapped", [True, False])
async def test_graph_gives_its_images_under_our_prompt_id(
    http: RuntimeHttp, wrapped: bool
) -> None:
    wanted = job({"prompt": graph()} if wrapped else graph())

    made = await runtime(http).run(wanted, ignore)

    assert [file_type(file) for file in made.files] == [PNG]
    document = ComfyUiOut().completed(TaskId("t"), wanted, made)
    assert set(document) == {"code", "prompt_id", "outputs", "status"}
    assert document["code"] == 200
    assert document["prompt_id"] == f"{wanted.uid}-1"
    assert document["outputs"]["6"]["images"][0]["subfolder"] == "sub"


async def test_progress_comes_over_the_websocket(http: RuntimeHttp) -> None:
    seen: list[Progress] = []

    await runtime(http).run(job(graph("progress " * 3)), seen.append)

    assert seen
    assert {one.total for one in seen} == {10}


async def test_same_graph_again_gives_the_old_files(http: RuntimeHttp) -> None:
    """The cache writes nothing new and names the files of the first run."""
    first = await runtime(http).run(job(graph("cached")), ignore)
    again = await runtime(http).run(job(graph("cached")), ignore)

    assert again.answer["outputs"] == first.answer["outputs"]
    assert again.files == first.files


async def test_previews_are_no_results_and_texts_are_kept(http: RuntimeHttp) -> None:
    wanted = graph("preview")
    del wanted["6"]
    shown = {
        "7": node("PreviewImage", images=["5", 0]),
        "8": node("PreviewAny", source="some text"),
    }

    made = await runtime(http).run(job(wanted | shown), ignore)

    assert made.files == ()
    assert made.has_text
    assert made.answer["outputs"]["8"] == {"text": ["some text"]}


async def test_animation_keeps_its_own_type(http: RuntimeHttp) -> None:
    animation = node(
        "SaveAnimatedWEBP",
        images=["5", 0],
        filename_prefix="a",
        fps=6.0,
        lossless=True,
        quality=80,
        method="default",
    )

    made = await runtime(http).run(job(graph("animated", **{"6": animation})), ignore)

    assert [file_type(file).content_type for file in made.files] == ["image/webp"]


async def test_uploaded_input_is_used_under_the_name_in_the_answer(http: RuntimeHttp) -> None:
    source = (await runtime(http).run(job(graph()), ignore)).files[0].body

    names = [await runtime(http).upload("a.png", source) for _ in range(2)]
    load = {"7": node("LoadImage", image=names[1]), "8": node("VAEEncode", pixels=["7", 0])}
    load["8"]["inputs"]["vae"] = ["1", 2]
    wanted = graph("from an image") | load
    wanted["4"]["inputs"] |= {"latent_image": ["8", 0], "denoise": 0.5}

    made = await runtime(http).run(job(wanted), ignore)

    assert names == ["a.png", "a (1).png"]
    assert len(made.files) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (graph("a dog", **{"4": node("NoSuch")}), "NoSuch does not exist"),
        ({"1": node("CLIPTextEncode")}, "no outputs"),
        (
            graph("a dog", **{"1": node("CheckpointLoaderSimple", ckpt_name="no")}),
            "node 1 (Checkpoint",
        ),
    ],
)
async def test_refused_graph_fails_with_what_is_wrong_with_it(
    http: RuntimeHttp, content: dict[str, Any], said: str
) -> None:
    with pytest.raises(TaskFailedError) as caught:
        await runtime(http).run(job(content), ignore)

    assert caught.value.code == "runtime_rejected"
    assert said in str(caught.value)


async def test_graph_of_which_only_a_part_can_run_is_not_run(http: RuntimeHttp) -> None:
    """The server answers 200 and would run the other part."""
    wanted = job(graph("HANG", **{"7": node("SaveImage", images=["5", 0])}))

    with pytest.raises(TaskFailedError) as caught:
        await runtime(http).run(wanted, ignore)

    assert caught.value.code == "runtime_rejected"
    assert "only a part" in str(caught.value)
    assert "node 7 (SaveImage): Required input is missing: filename_prefix" in str(caught.value)
    async with asyncio.timeout(20):
        while await queue(http):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0)


async def test_failure_of_a_node_is_a_failure_with_its_words(http: RuntimeHttp) -> None:
    """After a failure the server also says that nothing executes any more."""
    with pytest.raises(TaskFailedError) as caught:
        await runtime(http).run(job(graph("BREAK")), ignore)

    assert caught.value.code == "runtime_error"
    assert "node 4 (KSampler): RuntimeError: told to fail" in str(caught.value)


async def test_interrupt_by_somebody_else_is_neither_failure_nor_success(
    http: RuntimeHttp,
) -> None:
    wanted = job(graph("HANG"))

    async def run() -> None:
        with pytest.raises(TransientError, match="somebody else"):
            await runtime(http).run(wanted, ignore)

    async with asyncio.TaskGroup() as group:
        group.create_task(run(), name="run")
        await running(http, f"{wanted.uid}-1")
        await http.post("/interrupt")


async def test_cancelled_run_is_interrupted_and_leaves_nothing(http: RuntimeHttp) -> None:
    wanted = job(graph("HANG"))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(runtime(http).run(wanted, ignore), name="run")
        await running(http, f"{wanted.uid}-1")
        task.cancel()

    made = await runtime(http).run(job(graph("next")), ignore)
    assert len(made.files) == 1


async def test_cancelled_run_does_not_interrupt_what_others_run(http: RuntimeHttp) -> None:
    other, wanted = job(graph("HANG other")), job(graph("waits"))

    async def run_other() -> None:
        with pytest.raises(TransientError):
            await runtime(http).run(other, ignore)

    async with asyncio.TaskGroup() as group:
        group.create_task(run_other(), name="other")
        await running(http, f"{other.uid}-1")
        task = group.create_task(runtime(http).run(wanted, ignore), name="run")
        await running(http, f"{wanted.uid}-1")
        task.cancel()
        async with asyncio.timeout(20):
            while f"{wanted.uid}-1" in await queue(http):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0)
        assert await queue(http) == [f"{other.uid}-1"]
        await http.post("/interrupt")


async def test_attempt_that_was_queued_before_is_not_queued_again(http: RuntimeHttp) -> None:
    wanted = job(graph("once"))
    body = {"prompt": wanted.content, "prompt_id": f"{wanted.uid}-1"}
    await http.post("/prompt", json=body)

    made = [await runtime(http).run(wanted, ignore) for _ in range(2)]

    history = (await http.get("/history")).body
    assert made[0].files == made[1].files
    assert [one for one in history if one.startswith(wanted.uid)] == [f"{wanted.uid}-1"]


async def test_leftover_of_a_dead_agent_is_dropped(http: RuntimeHttp) -> None:
    first = job(graph("HANG"))
    await http.post("/prompt", json={"prompt": first.content, "prompt_id": f"{first.uid}-1"})
    await running(http, f"{first.uid}-1")

    made = await runtime(http).run(job(graph("again"), first.uid, 2), ignore)

    assert len(made.files) == 1


async def test_server_that_dies_is_lost_at_once(
    own_comfyui: tuple[str, subprocess.Popen[str]],
) -> None:
    url, process = own_comfyui
    wanted = job(graph("HANG"))

    async def run(http: RuntimeHttp) -> None:
        patient = ComfyUiRuntime(http=http, poll=POLL, silence=timedelta(hours=1))
        with pytest.raises(RuntimeLostError):
            await patient.run(wanted, ignore)

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        group.create_task(run(http), name="run")
        await running(http, f"{wanted.uid}-1")
        process.kill()


async def test_server_that_falls_silent_is_lost(
    own_comfyui: tuple[str, subprocess.Popen[str]],
) -> None:
    url, process = own_comfyui
    wanted = job(graph("HANG"))

    async def run(http: RuntimeHttp) -> None:
        with pytest.raises(RuntimeLostError, match="silent"):
            await runtime(http).run(wanted, ignore)

    async with runtime_http(url) as http, asyncio.TaskGroup() as group:
        group.create_task(run(http), name="run")
        await running(http, f"{wanted.uid}-1")
        process.send_signal(signal.SIGSTOP)


def impatient(http: RuntimeHttp) -> ComfyUiRuntime:
    return ComfyUiRuntime(
        http=http, poll=POLL, silence=timedelta(seconds=5), stall=timedelta(seconds=0.3)
    )


async def test_prompt_without_progress_is_interrupted_and_the_runtime_is_lost(
    http: RuntimeHttp,
) -> None:
    hung = impatient(http)

    with pytest.raises(RuntimeHangsError):
        await hung.run(job(graph("HANG")), ignore)

    async with asyncio.timeout(20):
        while await queue(http):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0)
    await hung.probe()
    assert len((await hung.run(job(graph("after it")), ignore)).files) == 1


async def test_runtime_is_not_ready_while_a_prompt_that_hung_runs(http: RuntimeHttp) -> None:
    stuck, wanted = impatient(http), job(graph("HANG"))
    prompt_id = f"{wanted.uid}-1"
    await http.post("/prompt", json={"prompt": wanted.content, "prompt_id": prompt_id})
    await running(http, prompt_id)
    stuck.hanging.add(prompt_id)

    with pytest.raises(RuntimeLostError, match="still hangs"):
        await stuck.probe()

    await http.post("/interrupt")
    async with asyncio.timeout(20):
        while await queue(http):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0)
    await stuck.probe()


async def test_prompt_that_waits_for_another_does_not_hang(http: RuntimeHttp) -> None:
    other, wanted = job(graph("HANG other")), job(graph("waits"))
    await http.post("/prompt", json={"prompt": other.content, "prompt_id": f"{other.uid}-1"})
    await running(http, f"{other.uid}-1")

    async def end_the_other() -> None:
        await running(http, f"{wanted.uid}-1")
        await asyncio.sleep(0.6)  # twice as long as a prompt may stand still
        await http.post("/interrupt")

    async with asyncio.TaskGroup() as group:
        group.create_task(end_the_other(), name="end-the-other")
        made = await impatient(http).run(wanted, ignore)

    assert len(made.files) == 1


async def test_next_prompt_is_queued_before_the_present_one_ends(http: RuntimeHttp) -> None:
    first, second = job(graph("HANG")), job(graph("second"))
    server = runtime(http)

    async def interrupted() -> None:
        with pytest.raises(TransientError):
            await server.run(first, ignore)

    async with asyncio.TaskGroup() as group:
        group.create_task(interrupted(), name="first")
        await running(http, f"{first.uid}-1")
        made = group.create_task(server.run(second, ignore), name="second")
        await running(http, f"{second.uid}-1")
        assert await queue(http) == [f"{first.uid}-1", f"{second.uid}-1"]
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
        await running(http, f"{wanted.uid}-1")
        second = group.create_task(run_second(), name="second")
        await running(http, f"{waiting.uid}-1")
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


def test_every_kind_of_output_counts_once_and_previews_do_not() -> None:
    item = {"filename": "a", "subfolder": "s", "type": "output"}
    outputs: dict[str, Any] = {
        "1": {"images": [item, {**item, "type": "temp"}], "animated": [True]},
        "2": {"gifs": [{**item, "filename": "b"}], "videos": [item], "audio": [item]},
        "3": {"3d": [{**item, "filename": "c"}], "files": [{"filename": "d"}]},
    }

    assert results(outputs) == [
        FileRef("a", "s", "output"),
        FileRef("b", "s", "output"),
        FileRef("c", "s", "output"),
        FileRef("d", "", "output"),
    ]
    assert not has_text(outputs)


def test_ending_without_a_reason_is_a_failure() -> None:
    with pytest.raises(TaskFailedError):
        check_ending({"status": {"status_str": "error", "completed": False, "messages": []}})


@pytest.mark.parametrize(
    ("file", "extension"),
    [
        (File(body=b"\xff\xd8\xff\xe0\0\x10JFIF\0"), "jpg"),
        (File(body=b"GIF89a" + b"\0" * 20, name="wrong.png"), "gif"),
        (File(body=b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"), "mp4"),
        (File(body=b"v 1 2 3", name="model.obj"), "obj"),
        (File(body=b"what is this", name="../../x/y"), "png"),
        (File(body=b""), "png"),
    ],
)
def test_type_comes_from_the_bytes_before_the_name(file: File, extension: str) -> None:
    assert file_type(file).extension == extension
