"""What kind of file some bytes are."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from typing import Final

import puremagic

from queue_agent.files.body import Body, FileBody


@dataclass(frozen=True, slots=True)
class FileType:
    """How a file is called and served; the extension has no dot."""

    extension: str
    content_type: str


PNG: Final = FileType("png", "image/png")
_KNOWN: Final = {
    kind.extension: kind
    for kind in (
        PNG,
        FileType("jpg", "image/jpeg"),
        FileType("gif", "image/gif"),
        FileType("webp", "image/webp"),
        FileType("avif", "image/avif"),
        FileType("tiff", "image/tiff"),
        FileType("bmp", "image/bmp"),
        FileType("mp4", "video/mp4"),
        FileType("webm", "video/webm"),
        FileType("flac", "audio/flac"),
        FileType("mp3", "audio/mpeg"),
        FileType("ogg", "audio/ogg"),
        FileType("wav", "audio/wav"),
    )
}
_SAME: Final = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff"}
_EXTENSION = re.compile(r"\.([a-z0-9]{1,5})$")


def file_type(body: Body, name: str = "") -> FileType:
    """The type by the bytes; if they tell nothing, by the name, else PNG."""
    if known := _by_bytes(body):
        return known
    named = _EXTENSION.search(name.lower())
    if named is None:
        return PNG
    guessed = mimetypes.guess_type(f"file.{named[1]}")[0]
    return FileType(named[1], guessed or "application/octet-stream")


def _by_bytes(body: Body) -> FileType | None:
    try:
        matches = _matches(body)
    except (puremagic.PureError, ValueError):
        return None
    for match in matches:
        extension = match.extension.removeprefix(".")
        known = _KNOWN.get(_SAME.get(extension, extension))
        if known:
            return known
    return None


def _matches(body: Body) -> list[puremagic.PureMagicWithConfidence]:
    if not isinstance(body, FileBody):
        return puremagic.magic_string(body)
    with body.open() as reader:  # its beginning and its end suffice
        return puremagic.magic_stream(reader)
