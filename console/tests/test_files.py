"""Only what is surely a picture is shown; everything else is saved as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from darkroom_client import DarkroomError, TooLarge, Unreachable
from darkroom_console.files import PICTURE_BYTES, TEXT_BYTES, Files, picture_type

LINK = "http://files.example.com/one"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'
"""A picture that could run a program in the page's name."""


class Server:
    """A server of files that answers as it is told."""

    def __init__(self) -> None:
        self.answer: httpx.Response | Exception = httpx.Response(200, content=PNG)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def files(server: Server) -> AsyncIterator[Files]:
    started = Files(httpx.MockTransport(server))
    yield started
    await started.aclose()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x1cftypavif", "image/avif"),
        (SVG, None),
        (b"<!doctype html>", None),
        (b"", None),
    ],
)
def test_type_is_told_by_the_bytes(head: bytes, kind: str | None) -> None:
    assert picture_type(head) == kind


async def test_what_is_no_picture_is_saved(files: Files, server: Server) -> None:
    server.answer = httpx.Response(200, content=SVG, headers={"content-type": "image/svg+xml"})

    answer = await files.picture(LINK, "one.svg", download=False)

    assert answer.media_type == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="one.svg"'


async def test_picture_is_whole(files: Files) -> None:
    answer = await files.picture(LINK, "one.png", download=False)

    assert [part async for part in answer.body_iterator] == [PNG]
    assert "content-disposition" not in answer.headers


async def test_text_is_bounded(files: Files, server: Server) -> None:
    server.answer = httpx.Response(200, content=bytes(TEXT_BYTES + 1))

    with pytest.raises(TooLarge):
        await files.text(LINK)


async def test_picture_that_is_too_large_is_refused_at_once(
    files: Files, server: Server
) -> None:
    headers = {"content-length": str(PICTURE_BYTES + 1)}
    server.answer = httpx.Response(200, headers=headers, content=PNG)

    with pytest.raises(TooLarge):
        await files.picture(LINK, "one.png", download=False)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(403), DarkroomError),
        (httpx.ConnectError("refused"), Unreachable),
    ],
)
async def test_link_that_is_no_good_is_a_sentence(
    files: Files, server: Server, answer: httpx.Response | Exception, error: type[Exception]
) -> None:
    server.answer = answer

    with pytest.raises(error):
        await files.picture(LINK, "one.png", download=False)
