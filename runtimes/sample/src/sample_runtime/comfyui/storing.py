"""What the nodes do that save and show pictures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from sample_runtime import drawing
from sample_runtime.comfyui.files import inside, next_counter
from sample_runtime.comfyui.nodes import Job, Result, Values

_WEBP_METHODS = {"default": 4, "fastest": 0, "slowest": 6}


async def save_images(job: Job, values: Values) -> Result:
    """Write each picture to the output folder as PNG."""
    files = await asyncio.to_thread(
        _write_pngs, job, values["images"], "output", values["filename_prefix"]
    )
    return Result(shown={"images": files})


async def preview_images(job: Job, values: Values) -> Result:
    """Write each picture to the folder of previews, which are no results."""
    files = await asyncio.to_thread(_write_pngs, job, values["images"], "temp", "ComfyUI_temp")
    return Result(shown={"images": files})


async def save_animated_webp(job: Job, values: Values) -> Result:
    """Write the pictures to the output folder as frames of one file."""
    file = await asyncio.to_thread(_write_webp, job, values)
    return Result(shown={"images": [file], "animated": (True,)})


async def preview_any(_: Job, values: Values) -> Result:
    """Show anything as text."""
    source = values["source"]
    return Result(shown={"text": (source if isinstance(source, str) else repr(source),)})


@dataclass(frozen=True)
class _Target:
    kind: str
    prefix: str
    suffix: str


def _write_pngs(
    job: Job, pictures: list[Image.Image], kind: str, prefix: str
) -> list[dict[str, Any]]:
    target, graph = _Target(kind, prefix, ".png"), json.dumps(job.prompt)
    return [_write(job, target, partial(_save_png, picture, graph)) for picture in pictures]


def _save_png(picture: Image.Image, graph: str, path: Path) -> None:
    texts = {"prompt": graph}
    if "parameters" in picture.info:
        texts["parameters"] = picture.info["parameters"]
    path.write_bytes(drawing.png(picture, texts))


def _write_webp(job: Job, values: Values) -> dict[str, Any]:
    target = _Target("output", values["filename_prefix"], ".webp")
    return _write(job, target, partial(_save_webp, values))


def _save_webp(values: Values, path: Path) -> None:
    first, *others = values["images"]
    first.save(
        path,
        save_all=True,
        append_images=others,
        duration=int(1000 / values["fps"]),
        lossless=values["lossless"],
        quality=values["quality"],
        method=_WEBP_METHODS[values["method"]],
    )


def _write(job: Job, target: _Target, save: Callable[[Path], None]) -> dict[str, Any]:
    root = job.place.folders.temp if target.kind == "temp" else job.place.folders.output
    prefix = PurePosixPath(target.prefix)
    folder = inside(root, str(prefix.parent))
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{prefix.name}_{next_counter(folder, prefix.name):05}_{target.suffix}"
    save(folder / name)
    subfolder = "" if prefix.parent == PurePosixPath() else str(prefix.parent)
    return {"filename": name, "subfolder": subfolder, "type": target.kind}
