"""The kinds of files that runtimes take, and how their bytes are known. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

HEAD_BYTES: Final = 512


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


# Each with where its mark begins. The marks are those of the formats' own specifications.
_MARKS: Final = (
    (0, b"\x89PNG\r\n\x1a\n", Sort(Kind.IMAGE, "png")),
    (0, b"\xff\xd8\xff", Sort(Kind.IMAGE, "jpg")),
    (0, b"GIF8", Sort(Kind.IMAGE, "gif")),
    (8, b"WEBP", Sort(Kind.IMAGE, "webp")),
    (0, b"II*\0", Sort(Kind.IMAGE, "tiff")),
    (0, b"MM\0*", Sort(Kind.IMAGE, "tiff")),
    (0, b"BM", Sort(Kind.IMAGE, "bmp")),
    (8, b"WAVE", Sort(Kind.AUDIO, "wav")),
    (8, b"AIFF", Sort(Kind.AUDIO, "aiff")),
    (0, b"fLaC", Sort(Kind.AUDIO, "flac")),
    (0, b"OggS", Sort(Kind.AUDIO, "ogg")),
    (0, b"ID3", Sort(Kind.AUDIO, "mp3")),
    (0, b"\xff\xfb", Sort(Kind.AUDIO, "mp3")),
    (0, b"\xff\xf3", Sort(Kind.AUDIO, "mp3")),
    (0, b"\xff\xf2", Sort(Kind.AUDIO, "mp3")),
    (0, b"\xff\xf1", Sort(Kind.AUDIO, "aac")),
    (0, b"\xff\xf9", Sort(Kind.AUDIO, "aac")),
    (8, b"AVI ", Sort(Kind.VIDEO, "avi")),
    (0, b"\x00\x00\x01\xba", Sort(Kind.VIDEO, "mpg")),
    (0, b"glTF", Sort(Kind.MODEL, "glb")),
    (0, b"Kaydara FBX Binary", Sort(Kind.MODEL, "fbx")),
    (0, b"ply\n", Sort(Kind.MODEL, "ply")),
)
_MATROSKA: Final = b"\x1a\x45\xdf\xa3"
_AVIF: Final = {b"avif", b"avis"}
_HEIC: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_STILL: Final = {b"mif1", b"msf1"}  # a picture, of whichever codec
_M4A: Final = {b"M4A ", b"M4B "}
_HEIC_SORT: Final = Sort(Kind.IMAGE, "heic")

_MODEL_NAMES: Final = frozenset({"fbx", "glb", "gltf", "obj", "ply", "stl"})
_ALSO: Final = {Kind.AUDIO: {Kind.VIDEO}}  # for its sound
_MOVING: Final = frozenset({"gif", "webp", "avif", "png"})  # loaders of videos take them
EXTENSIONS: Final = {
    **dict.fromkeys(("png", "jpg", "jpeg", "gif", "webp", "avif", "tiff", "bmp"), Kind.IMAGE),
    **dict.fromkeys(("wav", "aiff", "flac", "ogg", "opus", "mp3", "aac", "m4a"), Kind.AUDIO),
    **dict.fromkeys(("mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg"), Kind.VIDEO),
    **dict.fromkeys(_MODEL_NAMES, Kind.MODEL),
}
"""By the extensions of file names."""


def sort_of(head: bytes) -> Sort | None:
    """What a file is by its first `HEAD_BYTES`; None if that is not known."""
    if head[4:8] == b"ftyp":
        return _by_brands(head)
    if head.startswith(_MATROSKA):
        return Sort(Kind.VIDEO, "webm" if b"webm" in head[:64] else "mkv")
    for start, mark, sort in _MARKS:
        if head.startswith(mark, start):
            return sort
    return None


def accepted(kind: Kind, head: bytes, url: str) -> tuple[Sort | None, str]:
    """What a file is that was asked for as `kind`, or None and why it is refused."""
    found = sort_of(head) or _by_name(kind, head, url)
    if found == _HEIC_SORT:
        return None, "its bytes are HEIC, which runtimes do not read: send JPEG or PNG"
    if found is None or not _fits(kind, found):
        return None, f"its bytes are not {article(kind)}"
    return found, ""


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


def _by_brands(head: bytes) -> Sort:
    """What a file of ISO 14496-12 is: its box of brands says it."""
    brands = head[8 : max(12, min(int.from_bytes(head[:4]), HEAD_BYTES))]
    main = brands[:4]
    named = {brands[at : at + 4] for at in (0, *range(8, len(brands), 4))}
    if main in _AVIF | _STILL | _HEIC:
        if named & _AVIF and main not in _HEIC:
            return Sort(Kind.IMAGE, "avif")
        return _HEIC_SORT
    if main in _M4A:
        return Sort(Kind.AUDIO, "m4a")
    return Sort(Kind.VIDEO, "mov" if main == b"qt  " else "mp4")
