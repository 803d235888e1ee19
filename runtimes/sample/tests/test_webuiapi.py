"""The SD WebUI shape as the client library `webuiapi` sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import webuiapi  # type: ignore[import-untyped]  # it has no annotations
from PIL import Image

from testkit.sample_runtimes import SampleRuntime

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Start = Callable[..., SampleRuntime]


async def api(runtime: str) -> webuiapi.WebUIApi:
    return await asyncio.to_thread(webuiapi.WebUIApi, baseurl=f"{runtime}/sdapi/v1")


async def test_text_becomes_pictures_of_the_wanted_size_and_seeds(webui: str) -> None:
    client = await api(webui)

    result = await asyncio.to_thread(
        client.txt2img, prompt="a dog", seed=7, steps=4, width=96, height=64, n_iter=2
    )

    assert [one.size for one in result.images] == [(96, 64), (96, 64)]
    assert result.info["all_seeds"] == [7, 8]
    assert "a dog" in result.image.info["parameters"]
    assert "Seed: 7" in result.image.info["parameters"]


async def test_image_to_image_gives_the_picture_in_the_new_size(
    webui: str, picture: Image.Image
) -> None:
    client = await api(webui)

    result = await asyncio.to_thread(
        client.img2img, images=[picture], prompt="cat", width=200, height=120, steps=2
    )

    assert result.image.size == (200, 120)
    assert result.image.convert("RGB").getpixel((1, 1)) == (255, 0, 0)


async def test_single_picture_is_upscaled(webui: str, picture: Image.Image) -> None:
    client = await api(webui)

    result = await asyncio.to_thread(
        client.extra_single_image, picture, upscaler_1="R-ESRGAN 4x+", upscaling_resize=4
    )

    assert result.image.size == (256, 192)


async def test_batch_is_upscaled_in_order(webui: str, picture: Image.Image) -> None:
    client = await api(webui)
    wide = Image.new("RGB", (100, 10))

    result = await asyncio.to_thread(
        client.extra_batch_images, [picture, wide], upscaler_1="Lanczos", upscaling_resize=2
    )

    assert [one.size for one in result.images] == [(128, 96), (200, 20)]


async def test_checkpoint_is_switched_through_options(start: Start) -> None:
    url, _ = start("sdwebui", "--checkpoint", "one.ckpt", "--checkpoint", "two.ckpt")
    client = await api(url)

    await asyncio.to_thread(client.util_set_model, "two.ckpt")

    current = await asyncio.to_thread(client.util_get_current_model)
    titles = await asyncio.to_thread(client.util_get_model_names)
    assert current.startswith("two.ckpt [")
    assert len(titles) == 2


async def test_listings_are_what_the_client_expects(webui: str) -> None:
    client = await api(webui)

    samplers = await asyncio.to_thread(client.util_get_sampler_names)
    upscalers = await asyncio.to_thread(client.get_upscalers)
    scripts = await asyncio.to_thread(client.get_scripts)

    assert "Euler a" in samplers
    assert "R-ESRGAN 4x+" in [one["name"] for one in upscalers]
    assert "x/y/z plot" in scripts["txt2img"]


async def test_interrupt_ends_a_run_that_hangs(webui: str, until: Until) -> None:
    client, other = await api(webui), await api(webui)

    async with asyncio.TaskGroup() as group:
        run = group.create_task(asyncio.to_thread(client.txt2img, prompt="stuck", steps=3))

        async def is_working() -> bool:
            progress = await asyncio.to_thread(other.get_progress)
            return bool(progress["state"]["job"])

        await until(is_working)
        await asyncio.to_thread(other.interrupt)

    assert len(run.result().images) == 1


async def test_png_info_reads_back_what_was_written(webui: str) -> None:
    client = await api(webui)
    result = await asyncio.to_thread(client.txt2img, prompt="a fish", seed=3, steps=2)

    read = await asyncio.to_thread(client.png_info, result.image)

    assert read.json["parameters"]["Seed"] == "3"
    assert read.json["parameters"]["Prompt"] == "a fish"
