"""A stand-in for SD WebUI that costs no CPU: all images of one width are the same.

Run as `python -m darkroom_bench.still_runtime PORT SECONDS`. It works on one request at a time,
for SECONDS each, and tells under `/spans` when it did.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import struct
import sys
import time
import zlib
from typing import Final

from aiohttp import web

SIDE: Final = 390  # of a grey picture that does not compress: about 150 KB
HOST: Final = "127.0.0.1"
BODY_BYTES: Final = 64 * 2**20
_WIDTH: Final = re.compile(rb'"width":\s*(\d+)')


def noise(side: int) -> bytes:
    """A PNG of random grey pixels, of about `side` squared bytes."""
    rows = b"".join(b"\0" + os.urandom(side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def create_app(seconds: float) -> web.Application:
    """The server."""
    device = _Device(seconds)
    app = web.Application(client_max_size=BODY_BYTES)
    app.router.add_post("/sdapi/v1/txt2img", device.generate)
    app.router.add_post("/sdapi/v1/img2img", device.generate)
    app.router.add_get("/sdapi/v1/progress", device.progress)
    app.router.add_get("/sdapi/v1/memory", device.memory)
    app.router.add_post("/sdapi/v1/interrupt", device.memory)
    app.router.add_get("/spans", device.spans)
    return app


class _Device:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._spans: list[tuple[float, float]] = []
        self._answers = {SIDE: _answer(SIDE)}

    async def generate(self, request: web.Request) -> web.Response:
        found = _WIDTH.search(await request.read())
        side = int(found[1]) if found else SIDE
        if side not in self._answers:
            self._answers[side] = await asyncio.to_thread(_answer, side)
        async with self._lock:
            start = time.monotonic()
            await asyncio.sleep(self._seconds)
            self._spans.append((start, time.monotonic()))
        return web.Response(body=self._answers[side], content_type="application/json")

    async def progress(self, _: web.Request) -> web.Response:
        busy = self._lock.locked()
        state = {
            "job": "still" if busy else "",
            "job_timestamp": str(len(self._spans) + busy),
            "interrupted": False,
        }
        return web.json_response({"progress": 0.0, "state": state})

    async def memory(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def spans(self, _: web.Request) -> web.Response:
        return web.json_response(self._spans)


def _answer(side: int) -> bytes:
    info = json.dumps({"all_seeds": [1], "sd_model_name": "still"})
    image = base64.b64encode(noise(side)).decode()
    return json.dumps({"images": [image], "parameters": {}, "info": info}).encode()


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


if __name__ == "__main__":
    web.run_app(
        create_app(float(sys.argv[2])),
        host=HOST,
        port=int(sys.argv[1]),
        access_log=None,
        print=lambda _: None,
    )
