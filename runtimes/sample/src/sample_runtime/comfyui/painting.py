"""What the nodes do that load models and make pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from PIL import Image, ImageOps

from sample_runtime import drawing, infotext
from sample_runtime.comfyui.nodes import InterruptProcessingError, Job, Latent, Result, Values

_METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


async def load_checkpoint(_: Job, values: Values) -> Result:
    """Model, text encoder and VAE, all three as the checkpoint's name."""
    name = values["ckpt_name"]
    return Result((name, name, name))


async def encode_text(_: Job, values: Values) -> Result:
    """The prompt itself."""
    return Result((values["text"],))


async def empty_latent(_: Job, values: Values) -> Result:
    """A latent of the wanted size."""
    latent = Latent(values["width"], values["height"], values["batch_size"])
    return Result((latent,))


async def sample(job: Job, values: Values) -> Result:
    """Draw the pictures in the time of the device; raises InterruptProcessingError."""
    gpu, latent, steps = job.place.gpu, values["latent_image"], values["steps"]
    drawing.check_size(latent.width, latent.height)
    async with gpu.work(job.prompt_id):
        done = await gpu.sample(
            values["positive"],
            steps=steps,
            images=latent.count,
            on_step=lambda number: job.progress(number, steps),
        )
        if done < 1 or gpu.interrupted:
            raise InterruptProcessingError
        pictures = [
            await asyncio.to_thread(_paint, latent, values, index)
            for index in range(latent.count)
        ]
    return Result((Latent(latent.width, latent.height, latent.count, tuple(pictures)),))


async def decode(_: Job, values: Values) -> Result:
    """The pictures of a latent; one that was never sampled is grey."""
    latent = values["samples"]
    grey = Image.new("RGB", (latent.width, latent.height), "grey")
    return Result((latent.pictures or (grey,) * latent.count,))


async def encode(_: Job, values: Values) -> Result:
    """A latent that starts from the pictures."""
    pictures: Sequence[Image.Image] = values["pixels"]
    width, height = pictures[0].size
    return Result((Latent(width, height, len(pictures), tuple(pictures)),))


async def scale(_: Job, values: Values) -> Result:
    """The pictures in another size; a side of 0 follows the other one."""
    resize = partial(_scale_one, values=values)
    pictures = [await asyncio.to_thread(resize, picture) for picture in values["image"]]
    return Result((tuple(pictures),))


def _paint(latent: Latent, values: Values, index: int) -> Image.Image:
    prompt, seed = values["positive"], values["seed"] + index
    size = {"width": latent.width, "height": latent.height}
    if latent.pictures and values["denoise"] < 1:
        picture = drawing.redraw(latent.pictures[index], prompt, **size)
    else:
        picture = drawing.draw(prompt, **size, seed=seed)
    settings: dict[str, object] = {
        "Steps": values["steps"],
        "Sampler": values["sampler_name"],
        "Schedule type": values["scheduler"],
        "CFG scale": values["cfg"],
        "Seed": seed,
        "Size": f"{latent.width}x{latent.height}",
        "Model": values["model"],
    }
    picture.info["parameters"] = infotext.write(prompt, values["negative"], settings)
    return picture


def _scale_one(picture: Image.Image, values: Values) -> Image.Image:
    width, height = values["width"], values["height"]
    if not width and not height:
        return picture
    width = width or max(1, round(picture.width * height / picture.height))
    height = height or max(1, round(picture.height * width / picture.width))
    drawing.check_size(width, height)
    method = _METHODS[values["upscale_method"]]
    if values["crop"] == "center":
        return ImageOps.fit(picture, (width, height), method)
    return picture.resize((width, height), method)
