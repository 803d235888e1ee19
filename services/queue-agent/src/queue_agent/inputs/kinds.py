"""The kinds of files that runtimes take, and how their bytes are known. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from queue_agent.files.types import extension_by_bytes


class Kind(StrEnum):
    """What a runtime expects of an input."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    MODEL = "3D model"
    ANY = "file of a known kind"


@dataclass(frozen=True, slots=True)
class Sort:
    """What some bytes are; the extension has no dot."""

    kind: Kind
    extension: str


HEIC: Final = "its bytes are HEIC, which runtimes do not read: send JPEG or PNG"
_HEIC: Final = "heic"
_DATA_HEAD: Final = 256  # characters
_DIGITS: Final = 64  # of base64, which have the brands of a file

_MODEL_NAMES: Final = frozenset({"fbx", "glb", "gltf", "obj", "ply", "stl"})
_ALSO: Final = {Kind.AUDIO: {Kind.VIDEO}}  # for its sound
_MOVING: Final = frozenset({"gif", "webp", "avif", "png"})  # loaders of videos take them
EXTENSIONS: Final = {
    **dict.fromkeys(("png", "jpg", "jpeg", "gif", "webp", "avif", "tiff", "bmp"), Kind.IMAGE),
    _HEIC: Kind.IMAGE,
    **dict.fromkeys(("wav", "aiff", "flac", "ogg", "opus", "mp3", "aac", "m4a"), Kind.AUDIO),
    **dict.fromkeys(("mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg"), Kind.VIDEO),
    **dict.fromkeys(_MODEL_NAMES, Kind.MODEL),
}
"""By the extensions of file names."""


def sort_of(head: bytes) -> Sort | None:
    """What a file is by its first bytes; None if that is not known."""
    extension = extension_by_bytes(head)
    kind = EXTENSIONS.get(extension)
    return Sort(kind, extension) if kind else None


def accepted(kind: Kind, head: bytes, url: str) -> tuple[Sort | None, str]:
    """What a file is that was asked for as `kind`, or None and why it is refused."""
    found = sort_of(head) or _by_name(kind, head, url)
    if found and found.extension == _HEIC:
        return None, HEIC
    if found is None or not _fits(kind, found):
        return None, f"its bytes are not {article(kind)}"
    return found, ""


def is_inline_heic(text: str) -> bool:
    """Whether a text is a HEIC file in base64, with or without the head of a data URI."""
    start = text[:_DATA_HEAD].lstrip()
    if start[:5].lower() == "data:":
        start = start.partition(",")[2]
    digits = "".join(start.split())[:_DIGITS]
    try:
        return extension_by_bytes(base64.b64decode(digits)) == _HEIC
    except ValueError:
        return False


def article(kind: Kind) -> str:
    """The kind in a sentence."""
    return {Kind.IMAGE: "an image", Kind.AUDIO: "audio"}.get(kind, f"a {kind}")


def _fits(kind: Kind, found: Sort) -> bool:
    if kind in {Kind.ANY, found.kind} or found.kind in _ALSO.get(kind, ()):
        return True
    return kind is Kind.VIDEO and found.extension in _MOVING


def _by_name(kind: Kind, head: bytes, url: str) -> Sort | None:
    # Some formats of models are texts without a mark; a page of HTML is none of them.
    if kind not in {Kind.MODEL, Kind.ANY} or head.lstrip().startswith(b"<"):
        return None
    try:
        extension = PurePosixPath(urlsplit(url).path).suffix.lower().removeprefix(".")
    except ValueError:
        return None
    return Sort(Kind.MODEL, extension) if extension in _MODEL_NAMES else None
