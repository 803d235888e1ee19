"""What the nodes do that load what was uploaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from PIL import Image

from sample_runtime.comfyui.files import Folders, inside
from sample_runtime.comfyui.nodes import Job, Place, Result, Values

Picture = tuple[tuple[Image.Image, ...], Image.Image]


@dataclass(frozen=True)
class Media:
    """A sound or a film: it is known by its bytes and never played."""

    name: str
    sha256: str


def check_of(field: str, what: str) -> Callable[[Place, Values], str | None]:
    """A complaint if the file that an input names is not there."""

    def check(place: Place, values: Values) -> str | None:
        name = values[field]
        try:
            found = isinstance(name, str) and _path(place.folders, name).is_file()
        except PermissionError:
            found = False
        return None if found else f"Invalid {what} file: {name}"

    return check


def fingerprint_of(field: str) -> Callable[[Place, Values], str]:
    """The hash of the file that an input names, so that a changed one is loaded again."""
    return lambda place, values: _hash(place.folders, values[field])


async def load_image(job: Job, values: Values) -> Result:
    """An uploaded picture, and its transparency as mask."""
    return Result(await _picture(job, values["image"]))


async def load_audio(job: Job, values: Values) -> Result:
    """An uploaded sound."""
    return await _media(job, values["audio"])


async def load_video(job: Job, values: Values) -> Result:
    """An uploaded film."""
    return await _media(job, values["file"])


async def load_3d(job: Job, values: Values) -> Result:
    """The pictures that the editor has made of an uploaded model, and the model's name."""
    shots = values["image"]
    image, _ = await _picture(job, shots["image"])
    _, mask = await _picture(job, shots["mask"])
    normal, _ = await _picture(job, shots["normal"])
    lines, _ = await _picture(job, shots["lineart"])
    name, camera = values["model_file"], shots["camera_info"]
    return Result((image, mask, name, normal, lines, camera, None))


async def _media(job: Job, name: str) -> Result:
    digest = await asyncio.to_thread(_hash, job.place.folders, name)
    return Result((Media(name, digest),))


async def _picture(job: Job, name: str) -> Picture:
    picture = await asyncio.to_thread(_open, _path(job.place.folders, name))
    return (picture.convert("RGB"),), picture.getchannel("A")


def _hash(folders: Folders, name: str) -> str:
    return sha256(_path(folders, name).read_bytes()).hexdigest()


def _path(folders: Folders, name: str) -> Path:
    return inside(folders.input, name.removesuffix(" [input]"))


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGBA")
