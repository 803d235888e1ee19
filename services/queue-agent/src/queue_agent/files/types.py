"""What kind of file some bytes are: what they surely are, else what their name says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from typing import Final

from queue_agent.files.body import Body, FileBody


@dataclass(frozen=True, slots=True)
class FileType:
    """How a file is called and served; the extension has no dot."""

    extension: str
    content_type: str


PNG: Final = FileType("png", "image/png")
BINARY: Final = "application/octet-stream"
_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "heic": "image/heic",
    "jxl": "image/jxl",
    "exr": "image/x-exr",
    "psd": "image/vnd.adobe.photoshop",
    "mp4": "video/mp4",
    "m4v": "video/x-m4v",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "avi": "video/x-msvideo",
    "ogv": "video/ogg",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "mka": "audio/x-matroska",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "obj": "model/obj",
    "stl": "model/stl",
    "ply": BINARY,
    "json": "application/json",
    "txt": "text/plain",
}
"""Of what runtimes make; the same on each machine, whatever its own table says."""
_OTHERS: Final = MimeTypes()
_SAME: Final = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff"}
_NO_EXTENSION = re.compile(r"[^a-z0-9]")
_LONGEST: Final = 16  # that a key of the bucket has room for
_HEAD_BYTES: Final = 512

_KIN: Final = (
    frozenset({"mp4", "m4v", "m4a", "m4b", "mov", "3gp", "3g2", "f4v"}),
    frozenset({"webm", "mkv", "mka", "mks", "mk3d"}),
    frozenset({"ogg", "oga", "ogv", "ogx", "opus", "spx"}),
    frozenset({"tiff", "dng", "nef", "cr2", "arw", "svs"}),
    frozenset({"heic", "heif", "hif"}),
)
"""Names of one container: its bytes do not tell them apart as surely as the name does."""

_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"\x76\x2f\x31\x01", "exr"),
    (b"8BPS\0\x01", "psd"),
    (b"OggS\0", "ogg"),
    (b"fLaC\0", "flac"),
    (b"glTF\x01\0\0\0", "glb"),
    (b"glTF\x02\0\0\0", "glb"),
)
_RIFF: Final = {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}
_AVIF: Final = (b"avif", b"avis")
_HEIC: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BRANDS: Final = {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a", b"M4V ": "m4v"}
_BMP_HEADERS: Final = frozenset({12, 40, 52, 56, 64, 108, 124})


def file_type(body: Body, name: str = "") -> FileType:
    """The type of a file that a runtime calls `name`.

    The name's extension counts unless the bytes are surely of another type, and stays if nobody
    knows it. Without one the bytes decide; if they tell nothing, it is taken for a PNG.
    """
    extension = _NO_EXTENSION.sub("", PurePosixPath(name.lower()).suffix)[:_LONGEST]
    extension = _SAME.get(extension, extension)
    sure = _by_bytes(body)
    if sure and not any({sure, extension} <= kin for kin in _KIN):
        return _typed(sure)
    return _typed(extension) if extension else PNG


def _typed(extension: str) -> FileType:
    guessed = _TYPES.get(extension) or _OTHERS.guess_type(f"file.{extension}")[0]
    return FileType(extension, guessed or BINARY)


def _by_bytes(body: Body) -> str | None:
    """The extension of the type that the bytes surely are; None for text and the unknown."""
    head = body.read(0, min(len(body), _HEAD_BYTES)) if isinstance(body, FileBody) else body
    head = head[:_HEAD_BYTES]
    if _is_text(head):
        return None
    for start, extension in _STARTS:
        if head.startswith(start):
            return extension
    return next(filter(None, (look(head) for look in _LOOKS)), None)


def _is_text(head: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head[:64])  # noqa: PLR2004


def _jpeg(head: bytes) -> str | None:
    return "jpg" if re.match(rb"\xff\xd8\xff[\xc0-\xcf\xdb\xdd\xe0-\xef\xfe]", head) else None


def _riff(head: bytes) -> str | None:
    return _RIFF.get(head[8:12]) if head.startswith(b"RIFF") else None


def _iso_media(head: bytes) -> str | None:
    if head[4:8] != b"ftyp":
        return None
    size = int.from_bytes(head[:4], "big")
    brands = [head[at : at + 4] for at in range(8, max(12, min(size, len(head))), 4)]
    if any(brand in _AVIF for brand in brands):
        return "avif"
    if any(brand in _HEIC for brand in brands):
        return "heic"
    return _BRANDS.get(brands[0], "mp4")


def _matroska(head: bytes) -> str | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    return "webm" if b"webm" in head[:64] else "mkv"


def _bmp(head: bytes) -> str | None:
    is_bmp = head.startswith(b"BM") and head[6:10] == b"\0\0\0\0"
    return "bmp" if is_bmp and int.from_bytes(head[14:18], "little") in _BMP_HEADERS else None


def _mp3(head: bytes) -> str | None:
    return "mp3" if re.match(rb"ID3[\x02-\x04][\x00-\x0f]", head) else None


_LOOKS: Final[tuple[Callable[[bytes], str | None], ...]] = (
    _jpeg,
    _riff,
    _iso_media,
    _matroska,
    _bmp,
    _mp3,
)
