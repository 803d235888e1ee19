from __future__ import annotations

import pytest
from queue_agent_fakes import PNG, FakeInputReader

from queue_agent.domain import TaskFailedError
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.find import Input
from queue_agent.inputs.kinds import Kind, accepted, sort_of
from queue_agent.inputs.nodes import Slot

URL = "https://host/a"


def ftyp(*brands: str) -> bytes:
    body = brands[0].encode() + bytes(4) + "".join(brands[1:]).encode()
    return (8 + len(body)).to_bytes(4) + b"ftyp" + body + b"\0" * 32


MP4 = ftyp("isom", "isom", "avc1")
HEIC = ftyp("heic", "mif1", "heic")
SORTS = {
    PNG: (Kind.IMAGE, "png"),
    b"\xff\xd8\xff\xe0": (Kind.IMAGE, "jpg"),
    b"GIF89a": (Kind.IMAGE, "gif"),
    b"RIFF\0\0\0\0WEBPVP8 ": (Kind.IMAGE, "webp"),
    b"RIFF\0\0\0\0WAVEfmt ": (Kind.AUDIO, "wav"),
    b"RIFF\0\0\0\0AVI LIST": (Kind.VIDEO, "avi"),
    b"II*\0": (Kind.IMAGE, "tiff"),
    b"BM\0\0": (Kind.IMAGE, "bmp"),
    ftyp("avif", "mif1"): (Kind.IMAGE, "avif"),
    ftyp("mif1", "avif"): (Kind.IMAGE, "avif"),
    ftyp("avis", "msf1"): (Kind.IMAGE, "avif"),
    HEIC: (Kind.IMAGE, "heic"),
    ftyp("mif1", "heic"): (Kind.IMAGE, "heic"),
    MP4: (Kind.VIDEO, "mp4"),
    ftyp("qt  "): (Kind.VIDEO, "mov"),
    ftyp("M4A ", "isom"): (Kind.AUDIO, "m4a"),
    b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm": (Kind.VIDEO, "webm"),
    b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska": (Kind.VIDEO, "mkv"),
    b"ID3\x04": (Kind.AUDIO, "mp3"),
    b"\xff\xfb\x90": (Kind.AUDIO, "mp3"),
    b"fLaC": (Kind.AUDIO, "flac"),
    b"OggS": (Kind.AUDIO, "ogg"),
    b"glTF\x02\0\0\0": (Kind.MODEL, "glb"),
}


@pytest.mark.parametrize("head", SORTS, ids=lambda head: "-".join(map(str, SORTS[head])))
def test_bytes_say_what_a_file_is(head: bytes) -> None:
    sort = sort_of(head)

    assert sort is not None
    assert (sort.kind, sort.extension) == SORTS[head]


@pytest.mark.parametrize("head", [b"", b"<html>", b"{}", b"\0" * 64, b"ftyp", b"\0\0\0\0ftyp"])
def test_what_is_no_known_file_is_refused_as_an_image(head: bytes) -> None:
    sort, complaint = accepted(Kind.IMAGE, head, URL)

    assert sort is None
    assert complaint == "its bytes are not an image"


@pytest.mark.parametrize(
    ("kind", "head", "url", "extension"),
    [
        (Kind.AUDIO, MP4, URL, "mp4"),  # for its sound
        (Kind.VIDEO, b"GIF89a", URL, "gif"),
        (Kind.MODEL, b"v 0 0 0", "https://host/dir/a.OBJ?sig=1", "obj"),
        (Kind.MODEL, b'{"asset": {}}', "s3://bucket/a.gltf", "gltf"),
        (Kind.ANY, PNG, URL, "png"),
    ],
)
def test_kind_takes_what_its_loaders_take(
    kind: Kind, head: bytes, url: str, extension: str
) -> None:
    sort, _ = accepted(kind, head, url)

    assert sort is not None
    assert sort.extension == extension


@pytest.mark.parametrize(
    ("kind", "head", "url", "complaint"),
    [
        (Kind.IMAGE, MP4, URL, "not an image"),
        (Kind.IMAGE, HEIC, URL, "are HEIC, which runtimes do not read: send JPEG or PNG"),
        (Kind.ANY, HEIC, URL, "are HEIC"),
        (Kind.AUDIO, PNG, URL, "not audio"),
        (Kind.VIDEO, b"\xff\xd8\xff", URL, "not a video"),
        (Kind.MODEL, PNG, URL, "not a 3D model"),
        (Kind.MODEL, b" <html>", "https://host/a.obj", "not a 3D model"),
        (Kind.MODEL, b"x", "http://[", "not a 3D model"),
        (Kind.ANY, b"x", URL, "not a file of a known kind"),
    ],
)
def test_other_bytes_are_refused_with_a_reason(
    kind: Kind, head: bytes, url: str, complaint: str
) -> None:
    sort, told = accepted(kind, head, url)

    assert sort is None
    assert complaint in told


@pytest.mark.parametrize(
    ("kind", "size", "complaint"),
    [
        (Kind.IMAGE, 101, "it has more than 100 bytes"),
        (Kind.VIDEO, 1000, None),
        (Kind.VIDEO, 1001, "it has more than 1000 bytes"),
        (Kind.ANY, 101, "an image of more than 100 bytes"),
    ],
)
async def test_each_kind_has_its_own_limit(
    kind: Kind, size: int, complaint: str | None
) -> None:
    head = MP4 if kind is Kind.VIDEO else PNG
    limits = InputLimits(
        count=1, bytes_each={Kind.IMAGE: 100, Kind.VIDEO: 1000}, bytes_total=2000
    )
    fetcher = Fetcher(
        readers={"https": FakeInputReader({URL: head.ljust(size)})}, limits=limits
    )
    wanted = Input(path=("a",), url=URL, slot=Slot(kind=kind))

    if complaint is None:
        assert len((await fetcher.fetch([wanted]))[wanted.source].body) == size
        return
    with pytest.raises(TaskFailedError, match=complaint):
        await fetcher.fetch([wanted])
