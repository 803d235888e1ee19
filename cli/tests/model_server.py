"""A web server of model files that breaks off, lies, redirects and asks for tokens."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

from aiohttp import web


def weights(size: int = 2**16) -> bytes:
    """A whole safetensors file with one tensor."""
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"weight": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(range(256)) * (size // 256)


@dataclass(slots=True, kw_only=True)
class Served:
    """How one file is served."""

    content: bytes = b""
    etag: str | None = '"first"'
    promised: int | None = None  # None: the truth
    breaks: list[int] = field(default_factory=list)  # after that many bytes of each answer
    statuses: list[int] = field(default_factory=list)  # of the first answers
    ranges: bool = True
    content_range: str | None = None  # None: the right one
    location: str | None = None
    linked_sum: str | None = None
    token: str | None = None


@dataclass(slots=True)
class ModelServer:
    """What is served, and which requests came."""

    files: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def other_host(self) -> str:
        """The same server, by another name."""
        return f"http://localhost:{self.port}"

    def ranges(self) -> list[str | None]:
        """The ranges that were asked for."""
        return [headers.get("Range") for _, headers in self.asked]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as the file of that path wants it."""
        self.asked.append((request.path, dict(request.headers)))
        served = self.files.get(request.path)
        if served is None:
            return web.Response(status=404)
        if served.statuses:
            return web.Response(status=served.statuses.pop(0))
        if served.token and request.headers.get("Authorization") != f"Bearer {served.token}":
            return web.Response(status=401)
        if served.location:
            told = {"X-Linked-ETag": f'"{served.linked_sum}"'} if served.linked_sum else {}
            return web.Response(status=302, headers={"Location": served.location, **told})
        return await _send(served, request)


async def _send(served: Served, request: web.Request) -> web.StreamResponse:
    asked, start, size = request.headers.get("Range"), 0, len(served.content)
    if asked and served.ranges and request.headers.get("If-Range") == served.etag:
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= size:
            return web.Response(status=416)
    answer = web.StreamResponse(status=206 if start else 200)
    if served.etag:
        answer.headers["ETag"] = served.etag
    if start:
        right = f"bytes {start}-{size - 1}/{size}"
        answer.headers["Content-Range"] = served.content_range or right
    answer.content_length = (served.promised or size) - start
    await answer.prepare(request)
    end = start + served.breaks.pop(0) if served.breaks else size
    await answer.write(served.content[start:end])
    if end < (served.promised or size) and request.transport:
        request.transport.close()
    return answer


@contextmanager
def running() -> Iterator[ModelServer]:
    """A server that runs beside the test, for the length of the block."""
    served, loop = ModelServer(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", served.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        served.port = runner.addresses[0][1]
        return runner

    thread = Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    try:
        yield served
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
