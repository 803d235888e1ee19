"""What kind of file some bytes are: what they surely are, else what their name says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from typing import Final

from queue_agent.files.body import Body, open_body


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
_SAME: Final = {"aif": "aiff", "jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff"}
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

_NEVER: Final = b"(?!)"
_MARKS: Final = tuple(
    (extension, re.compile(rb"(?:%s)(?P<sure>%s)?" % (begins, goes_on), re.DOTALL))
    for extension, begins, goes_on in (
        # The type, how its files begin, and how they go on so that they are surely no others.
        ("png", rb"\x89PNG\r\n\x1a\n", b""),
        ("jpg", rb"\xff\xd8\xff", rb"[\xc0-\xcf\xdb\xdd\xe0-\xef\xfe]"),
        ("gif", b"GIF8", b"[79]a"),
        ("webp", b"RIFF.{4}WEBP", b""),
        ("wav", b"RIFF.{4}WAVE", b""),
        ("avi", b"RIFF.{4}AVI ", b""),
        ("aiff", b"FORM.{4}AIF[FC]", b""),
        ("tiff", rb"II[*+]\0|MM\0[*+]", b""),
        ("bmp", b"BM", rb".{4}\0{4}.{4}[\x0c(48@l|]\0{3}"),  # the size of its second header
        ("jxl", rb"\0\0\0\x0cJXL \r\n\x87\n", b""),
        ("exr", rb"\x76\x2f\x31\x01", b""),
        ("psd", rb"8BPS\0\x01", b""),
        ("webm", rb"\x1a\x45\xdf\xa3(?=.{0,60}webm)", b""),
        ("mkv", rb"\x1a\x45\xdf\xa3", b""),
        ("ogg", b"OggS", rb"\0"),
        ("flac", b"fLaC", rb"\0"),
        ("mp3", b"ID3", rb"[\x02-\x04][\x00-\x0f]"),
        ("mp3", rb"\xff[\xf2\xf3\xfb]", _NEVER),
        ("aac", rb"\xff[\xf1\xf9]", _NEVER),
        ("mpg", rb"\0\0\x01\xba", _NEVER),
        ("glb", b"glTF", rb"[\x01\x02]\0{3}"),
        ("fbx", b"Kaydara FBX Binary", b""),
        ("ply", rb"ply\n", _NEVER),
    )
)
"""The marks of the formats' own specifications."""
_AVIF: Final = {b"avif", b"avis"}
_HEIC: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_STILL: Final = {b"mif1", b"msf1"}  # a picture, of whichever codec
_BRANDS: Final = {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a", b"M4V ": "m4v"}


def file_type(body: Body, name: str = "") -> FileType:
    """The type of a file that a runtime calls `name`.

    The name's extension counts unless the bytes are surely of another type, and stays if nobody
    knows it. Without one the bytes decide; if they tell nothing, it is taken for a PNG.
    """
    extension = _NO_EXTENSION.sub("", PurePosixPath(name.lower()).suffix)[:_LONGEST]
    extension = _SAME.get(extension, extension)
    head = head_of(body)
    found, is_sure = _by_bytes(head)
    if is_sure and not _is_text(head) and not any({found, extension} <= kin for kin in _KIN):
        return _typed(found)
    return _typed(extension) if extension else PNG


def extension_by_bytes(head: bytes) -> str:
    """The extension of the type that a file may be taken for; empty if nobody knows it."""
    return _by_bytes(head)[0]


def head_of(body: Body) -> bytes:
    """As much of a file as its type is known by; this may block."""
    with open_body(body) as reader:
        return reader.read(_HEAD_BYTES)


def _typed(extension: str) -> FileType:
    guessed = _TYPES.get(extension) or _OTHERS.guess_type(f"file.{extension}")[0]
    return FileType(extension, guessed or BINARY)


def _by_bytes(head: bytes) -> tuple[str, bool]:
    """The extension of the type that the bytes tell, and whether they surely do."""
    if head[4:8] == b"ftyp":
        return _by_brands(head), True
    for extension, mark in _MARKS:
        if found := mark.match(head):
            return extension, found["sure"] is not None
    return "", False


def _is_text(head: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head[:64])  # noqa: PLR2004


def _by_brands(head: bytes) -> str:
    """What a file of ISO 14496-12 is: its box of brands says it."""
    brands = head[8 : max(12, min(int.from_bytes(head[:4]), _HEAD_BYTES))]
    main = brands[:4]
    named = {brands[at : at + 4] for at in (0, *range(8, len(brands), 4))}
    if main in _AVIF | _STILL | _HEIC:
        return "avif" if named & _AVIF and main not in _HEIC else "heic"
    return _BRANDS.get(main, "mp4")
