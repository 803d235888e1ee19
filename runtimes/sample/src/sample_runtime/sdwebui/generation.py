"""Text-to-image and image-to-image of SD WebUI."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from fastapi import HTTPException
from PIL import Image

from sample_runtime import drawing
from sample_runtime.gpu import Gpu
from sample_runtime.sdwebui import images
from sample_runtime.sdwebui.counters import RunCounters
from sample_runtime.sdwebui.listings import check_scripts
from sample_runtime.sdwebui.options import Options
from sample_runtime.sdwebui.requests import (
    GenerationRequest,
    ImageToImageRequest,
    TextToImageRequest,
)
from sample_runtime.sdwebui.run_info import RunInfo

Draw = Callable[[int, int], Image.Image]


class Generation:
    """Answers generation calls, one at a time."""

    def __init__(self, gpu: Gpu, options: Options, counters: RunCounters) -> None:
        self._gpu = gpu
        self._options = options
        self._counters = counters

    async def txt2img(self, request: TextToImageRequest) -> dict[str, Any]:
        """Answer `POST txt2img`."""
        check_scripts("txt2img", request.script_name, request.alwayson_scripts)
        width, height = _final_size(request)
        drawing.check_size(width, height)

        def draw(seed: int, _: int) -> Image.Image:
            return drawing.draw(request.prompt, width=width, height=height, seed=seed)

        body = await self._generate("txt2img", request, draw)
        return {**body, "parameters": request.model_dump()}

    async def img2img(self, request: ImageToImageRequest) -> dict[str, Any]:
        """Answer `POST img2img`; a call without an image is 404."""
        if not request.init_images:
            raise HTTPException(404, "Init image not found")
        if request.mask:
            await asyncio.to_thread(images.decode, request.mask)
        check_scripts("img2img", request.script_name, request.alwayson_scripts)
        drawing.check_size(request.width, request.height)
        sources = [await asyncio.to_thread(images.decode, one) for one in request.init_images]

        def draw(_: int, index: int) -> Image.Image:
            source = sources[index % len(sources)]
            size = (request.width, request.height)
            return drawing.redraw(source, request.prompt, width=size[0], height=size[1])

        body = await self._generate("img2img", request, draw)
        hidden = set() if request.include_init_images else {"init_images", "mask"}
        parameters = request.model_dump()
        return {**body, "parameters": parameters | dict.fromkeys(hidden)}

    async def _generate(
        self, tab: str, request: GenerationRequest, draw: Draw
    ) -> dict[str, Any]:
        overrides = request.override_settings or {}
        restore = request.override_settings_restore_afterwards
        job = request.force_task_id or f"{tab}-{uuid4()}"
        async with self._gpu.work(job):
            with (
                self._options.overridden(overrides, restore=restore),
                self._counters.run(f"scripts_{tab}", request.n_iter),
            ):
                info = self._info(request)
                pictures = await self._sample_all(request, info.seeds, draw)
                info.has_grid = self._wants_grid(request, pictures)
                encoded = await asyncio.to_thread(_encode_all, pictures, info)
        return {
            "images": encoded if request.send_images else [],
            "info": json.dumps(info.as_dict(len(encoded))),
        }

    def _info(self, request: GenerationRequest) -> RunInfo:
        first = request.seed if request.seed >= 0 else secrets.randbelow(2**32)
        count = request.batch_size * request.n_iter
        return RunInfo(
            request=request,
            checkpoint=self._options.loaded_checkpoint(),
            seeds=list(range(first, first + count)),
            timestamp=self._counters.job_timestamp,
            clip_skip=self._options["CLIP_stop_at_last_layers"],
        )

    async def _sample_all(
        self, request: GenerationRequest, seeds: list[int], draw: Draw
    ) -> list[Image.Image]:
        pictures: list[Image.Image] = []
        for _ in range(request.n_iter):
            done = await self._gpu.sample(
                request.prompt,
                steps=request.steps,
                images=request.batch_size,
                on_step=lambda number: self._counters.step(number, request.steps),
            )
            for _ in range(request.batch_size):
                index = len(pictures)
                picture = await asyncio.to_thread(draw, seeds[index], index)
                if done < 1:
                    picture = await asyncio.to_thread(drawing.unfinished, picture, done)
                pictures.append(picture)
            if self._gpu.interrupted:
                break
            self._counters.next_job()
        return pictures

    def _wants_grid(self, request: GenerationRequest, pictures: list[Image.Image]) -> bool:
        allowed = request.save_images and not request.do_not_save_grid
        return allowed and len(pictures) > 1 and bool(self._options["return_grid"])


def _encode_all(pictures: list[Image.Image], info: RunInfo) -> list[str]:
    singles = [
        images.encode(picture, {"parameters": info.infotext(index)})
        for index, picture in enumerate(pictures)
    ]
    if not info.has_grid:
        return singles
    return [images.encode(drawing.grid(pictures), {"parameters": info.infotext(0)}), *singles]


def _final_size(request: TextToImageRequest) -> tuple[int, int]:
    if not request.enable_hr:
        return request.width, request.height
    return (
        request.hr_resize_x or int(request.width * request.hr_scale),
        request.hr_resize_y or int(request.height * request.hr_scale),
    )
