"""The files of tasks, passed on from where they are kept; what is shown is surely a picture."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

import httpx
from starlette.responses import StreamingResponse

from darkroom_client import DarkroomError, TooLarge, Unreachable

PICTURE_BYTES: Final = 256 * 2**20
TEXT_BYTES: Final = 256 * 1024
STEP_SECONDS: Final = 10.0
_HEAD: Final = 16
# What browsers draw and cannot be told to run: no SVG, no HTML.
_PICTURES: Final = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"ftypavif", 4, "image/avif"),
)


def picture_type(head: bytes) -> str | None:
    """The type of a picture by its first bytes; None for what is none."""
    for mark, start, name in _PICTURES:
        if head[start:].startswith(mark):
            return name
    return None


class Files:
    """Downloads by links of the stack, which need no key."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(timeout=STEP_SECONDS, transport=transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def picture(self, link: str, name: str, *, download: bool) -> StreamingResponse:
        """A picture to be shown, or any file to be saved as `name`; raises `DarkroomError`."""
        parts = self._parts(link, PICTURE_BYTES)
        head = b""
        async for part in parts:
            head += part
            if len(head) >= _HEAD:
                break

        async def whole() -> AsyncIterator[bytes]:
            async with aclosing(parts):
                yield head
                async for part in parts:
                    yield part

        kind = picture_type(head)
        headers = {"cache-control": "private, max-age=3600"}
        if download or kind is None:
            headers["content-disposition"] = f'attachment; filename="{name}"'
        return StreamingResponse(
            whole(), media_type=kind or "application/octet-stream", headers=headers
        )

    async def text(self, link: str) -> str:
        """A small file of text; raises `DarkroomError`."""
        parts = [part async for part in self._parts(link, TEXT_BYTES)]
        return b"".join(parts).decode(errors="replace")

    async def _parts(self, link: str, limit: int) -> AsyncGenerator[bytes]:
        count = 0
        async with self._answer(link) as answer:
            # Before the first byte goes on: later it can only be broken off.
            if int(answer.headers.get("content-length", "0")) > limit:
                raise TooLarge(f"the file has more than {limit} bytes")
            async for part in answer.aiter_bytes():
                count += len(part)
                if count > limit:
                    raise TooLarge(f"the file has more than {limit} bytes")
                yield part

    @asynccontextmanager
    async def _answer(self, link: str) -> AsyncIterator[httpx.Response]:
        try:
            async with self._http.stream("GET", link) as answer:
                if not answer.is_success:
                    raise DarkroomError(
                        f"the file cannot be had: its server answers {answer.status_code}"
                    )
                yield answer
        except httpx.InvalidURL as error:
            raise DarkroomError("a link of the stack is no URL") from error
        except httpx.HTTPError as error:
            reason = type(error).__name__
            raise Unreachable(f"the server of files does not answer: {reason}") from error
