from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from comfyui_jobs import graph, ignore, job, node, queue, running, runtime

from contracts.ids import TaskId
from contracts.state import Progress
from queue_agent.domain import Leftovers, TaskFailedError
from queue_agent.files.types import PNG, file_type
from queue_agent.runtimes.comfyui.prompt_ids import prompt_id_of
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.task.out_document import ComfyUiOut, with_urls
from servicekit.errors import TransientError


@pytest.fixture
async def http(comfyui_url: str) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(comfyui_url) as opened:
        yield opened


async def test_running_server_is_ready(http: RuntimeHttp) -> None:
    await runtime(http).probe()


@pytest.mark.parametrize("wrapped", [True, False])
async def test_graph_gives_its_images_under_our_prompt_id(
    http: RuntimeHttp, wrapped: bool
) -> None:
    wanted = job({"prompt": graph()} if wrapped else graph())

    made = await runtime(http).run(wanted, ignore)

    assert [file_type(file.body, file.name) for file in made.files] == [PNG]
    document = ComfyUiOut().completed(TaskId("t"), wanted, made)
    assert set(document) == {"code", "prompt_id", "outputs", "status"}
    assert document["code"] == 200
    assert document["prompt_id"] == prompt_id_of(wanted.uid, 1)
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


async def test_previews_that_are_to_be_kept_are_results_with_their_urls(
    http: RuntimeHttp,
) -> None:
    wanted = graph("kept") | {"7": node("PreviewImage", images=["5", 0])}

    made = await runtime(http).run(replace(job(wanted), keep_previews=True), ignore)

    kinds = {file.ref[2] for file in made.files}
    assert kinds == {"output", "temp"}
    urls = {file.ref: f"s3://{file.ref[2]}" for file in made.files}
    outputs = with_urls(ComfyUiOut().completed(TaskId("t"), job(wanted), made), urls)["outputs"]
    assert outputs["6"]["image_url"] == ["s3://output"]
    assert outputs["7"]["image_url"] == ["s3://temp"]


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

    assert [file_type(file.body, file.name).content_type for file in made.files] == [
        "image/webp"
    ]


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
    async with asyncio.timeout(60):
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
        await running(http, prompt_id_of(wanted.uid, 1))
        await http.post("/interrupt")


async def test_cancelled_run_is_interrupted_and_leaves_nothing(http: RuntimeHttp) -> None:
    wanted = job(graph("HANG"))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(runtime(http).run(wanted, ignore), name="run")
        await running(http, prompt_id_of(wanted.uid, 1))
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
        await running(http, prompt_id_of(other.uid, 1))
        task = group.create_task(runtime(http).run(wanted, ignore), name="run")
        await running(http, prompt_id_of(wanted.uid, 1))
        task.cancel()
        async with asyncio.timeout(60):
            while prompt_id_of(wanted.uid, 1) in await queue(http):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0)
        assert await queue(http) == [prompt_id_of(other.uid, 1)]
        await http.post("/interrupt")


async def test_attempt_that_was_queued_before_is_not_queued_again(http: RuntimeHttp) -> None:
    wanted = job(graph("once"))
    body = {"prompt": wanted.content, "prompt_id": prompt_id_of(wanted.uid, 1)}
    await http.post("/prompt", json=body)

    made = [await runtime(http).run(wanted, ignore) for _ in range(2)]

    history = (await http.get("/history")).body
    assert made[0].files == made[1].files
    assert prompt_id_of(wanted.uid, 1) in history
    assert prompt_id_of(wanted.uid, 2) not in history


async def test_a_prompt_that_has_been_told_of_is_forgotten(http: RuntimeHttp) -> None:
    wanted = job(graph("told"))
    made = await runtime(http).run(wanted, ignore)
    prompt_id = made.answer["prompt_id"]
    assert (await http.get(f"/history/{prompt_id}")).body

    await runtime(http).forget(Leftovers(uid=wanted.uid, attempt=1))

    assert (await http.get(f"/history/{prompt_id}")).body == {}


async def test_a_server_that_names_prompts_itself_is_told_to_be_too_old() -> None:
    """As a ComfyUI of before 2025, which gives each prompt an id of its own."""
    dropped: list[str] = []

    async def prompt(_: web.Request) -> web.Response:
        return web.json_response({"prompt_id": "its-own", "number": 1, "node_errors": {}})

    async def queue_(request: web.Request) -> web.Response:
        if request.method == "POST":
            dropped.extend((await request.json())["delete"])
        return web.json_response({"queue_running": [], "queue_pending": []})

    async def nothing(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/prompt", prompt)
    app.router.add_route("*", "/queue", queue_)
    app.router.add_get("/{rest:.*}", nothing)
    async with TestServer(app) as server, runtime_http(str(server.make_url(""))) as old:
        with pytest.raises(TaskFailedError, match="too old") as caught:
            await runtime(old).run(job(graph("any")), ignore)

    assert not caught.value.failure.retryable
    assert dropped == ["its-own"]


async def test_leftover_of_a_dead_agent_is_dropped(http: RuntimeHttp) -> None:
    first = job(graph("HANG"))
    await http.post(
        "/prompt", json={"prompt": first.content, "prompt_id": prompt_id_of(first.uid, 1)}
    )
    await running(http, prompt_id_of(first.uid, 1))

    made = await runtime(http).run(job(graph("again"), first.uid, 2), ignore)

    assert len(made.files) == 1
