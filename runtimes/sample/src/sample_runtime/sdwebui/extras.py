"""Upscaling as SD WebUI's extras do it, by plain resizing."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from PIL import Image, ImageOps

from sample_runtime import drawing
from sample_runtime.gpu import Gpu
from sample_runtime.sdwebui import images
from sample_runtime.sdwebui.counters import RunCounters
from sample_runtime.sdwebui.listings import UPSCALERS
from sample_runtime.sdwebui.requests import (
    ExtrasBatchRequest,
    ExtrasRequest,
    ExtrasSingleRequest,
)


class Extras:
    """Answers upscaling calls, one at a time."""

    def __init__(self, gpu: Gpu, counters: RunCounters) -> None:
        self._gpu = gpu
        self._counters = counters

    async def single(self, request: ExtrasSingleRequest) -> dict[str, Any]:
        """Answer `POST extra-single-image`."""
        source = await asyncio.to_thread(images.decode, request.image)
        [image] = await self._upscale_all(request, [source])
        return {"html_info": _describe(request), "image": image}

    async def batch(self, request: ExtrasBatchRequest) -> dict[str, Any]:
        """Answer `POST extra-batch-images`, in the order of the list."""
        sources = [
            await asyncio.to_thread(images.decode, one.data) for one in request.image_list
        ]
        upscaled = await self._upscale_all(request, sources)
        return {"html_info": _describe(request), "images": upscaled}

    async def _upscale_all(
        self, request: ExtrasRequest, sources: list[Image.Image]
    ) -> list[str]:
        for name in (request.upscaler_1, request.upscaler_2):
            if name not in UPSCALERS:
                raise AssertionError(f"could not find upscaler named {name}")
        results = []
        async with self._gpu.work(f"extras-{uuid4()}"):
            with self._counters.run("extras", len(sources)):
                for source in sources:
                    await self._gpu.idle_for_an_image()
                    results.append(await asyncio.to_thread(_upscale, request, source))
                    self._counters.next_job()
        return results


def _upscale(request: ExtrasRequest, source: Image.Image) -> str:
    image = source.convert("RGBA" if source.has_transparency_data else "RGB")
    return images.encode(_resize(request, image), {"postprocessing": _describe(request)})


def _resize(request: ExtrasRequest, image: Image.Image) -> Image.Image:
    # The real server leaves the image alone without an upscaler, whatever size is asked for.
    if request.upscaler_1 == "None":
        return image
    method = (
        Image.Resampling.NEAREST
        if request.upscaler_1 == "Nearest"
        else Image.Resampling.LANCZOS
    )
    target = (request.upscaling_resize_w, request.upscaling_resize_h)
    if request.resize_mode == 0:
        scale = request.upscaling_resize
        target = (int(image.width * scale), int(image.height * scale))
    drawing.check_size(*target)
    if request.resize_mode == 0:
        return image.resize(target, method)
    if request.upscaling_crop:
        return ImageOps.fit(image, target, method)
    return ImageOps.cover(image, target, method)


def _describe(request: ExtrasRequest) -> str:
    how = (
        f"Postprocess upscale to: {request.upscaling_resize_w}x{request.upscaling_resize_h}"
        if request.resize_mode
        else f"Postprocess upscale by: {request.upscaling_resize}"
    )
    return f"{how}, Postprocess upscaler: {request.upscaler_1}"
