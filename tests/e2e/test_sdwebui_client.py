"""`webuiapi`, a client of SD WebUI that nobody has changed, against a whole stack."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import webuiapi  # type: ignore[import-untyped]  # it has no annotations
from harness import Stack

SECONDS = 120
SIZE = {"width": 96, "height": 64}


@pytest.fixture
def api(stack: Stack) -> webuiapi.WebUIApi:
    """The client, which sends the key as the password of a user."""
    path = "/runtimes/sdruntime/sdapi/v1"
    client = webuiapi.WebUIApi(baseurl=f"{stack.info['endpoint']}{path}")
    client.set_auth("anyone", stack.info["api_key"])
    return client


async def called(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    async with asyncio.timeout(SECONDS):
        return await asyncio.to_thread(call, *arguments, **named)


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + SECONDS
    while not await look():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_images_are_made_and_changed(api: webuiapi.WebUIApi) -> None:
    made = await called(api.txt2img, prompt="a red fox", steps=3, seed=5, n_iter=2, **SIZE)
    assert [image.size for image in made.images] == [(96, 64)] * 2
    assert made.info["all_seeds"] == [5, 6]
    assert made.parameters["prompt"] == "a red fox"

    changed = await called(api.img2img, images=[made.image], prompt="a cat", steps=3, **SIZE)
    assert changed.image.tobytes() != made.image.tobytes()

    larger = {"upscaler_1": "Lanczos", "upscaling_resize": 2}
    one = await called(api.extra_single_image, made.image, **larger)
    many = await called(api.extra_batch_images, made.images, **larger)
    assert [one.image.size, *(image.size for image in many.images)] == [(192, 128)] * 3


async def test_scripts_go_to_the_runtime(api: webuiapi.WebUIApi) -> None:
    with pytest.raises(RuntimeError, match=r"Script .*nothing.* not found"):
        await called(api.txt2img, prompt="x", steps=1, alwayson_scripts={"nothing": {}})


async def test_what_the_runtime_offers_is_listed(api: webuiapi.WebUIApi) -> None:
    async def seen() -> bool:
        try:
            return bool(await called(api.get_samplers))
        except RuntimeError:
            return False

    await until(seen)
    assert "Euler a" in [one["name"] for one in await called(api.get_samplers)]
    assert "Lanczos" in [one["name"] for one in await called(api.get_upscalers)]
    titles = [one["title"] for one in await called(api.get_sd_models)]
    assert titles == [(await called(api.get_options))["sd_model_checkpoint"]]
    assert "seed" in (await called(api.get_scripts))["txt2img"]


async def test_progress_is_told_and_an_interrupt_ends_the_task(
    api: webuiapi.WebUIApi, stack: Stack
) -> None:
    async def working() -> bool:
        return bool((await called(api.get_progress))["progress"] > 0)

    with stack.held():
        making = asyncio.create_task(called(api.txt2img, prompt="a dog", steps=9, **SIZE))
        await until(working)
        state = (await called(api.get_progress))["state"]
        await called(api.interrupt)
        with pytest.raises(RuntimeError) as caught:
            await making

    assert state["sampling_steps"] == 9
    status, text = caught.value.args
    assert (status, json.loads(text)["error"]) == (422, "task_failed")
    assert (await stack.task(state["job"]))["state"] == "cancelled"
    assert (await called(api.get_progress))["state"]["job_count"] == 0


async def test_who_has_no_key_is_refused_as_sd_webui_does(stack: Stack) -> None:
    client = webuiapi.WebUIApi(baseurl=f"{stack.info['endpoint']}/sdapi/v1")
    with pytest.raises(RuntimeError) as caught:
        await called(client.txt2img, prompt="x")
    assert caught.value.args[0] == 401
