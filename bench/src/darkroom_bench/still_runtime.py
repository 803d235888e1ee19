"""Stand-ins for the runtimes that cost no CPU: all images of one width are the same.

Run as `python -m darkroom_bench.still_runtime TYPE PORT SECONDS`. Each works on one task at a
time, for SECONDS each, and tells under `/spans` when it did, under `/late` how many seconds
after each end the agent was first told of it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import struct
import sys
import zlib
from typing import Final

from aiohttp import web

from contracts.kinds import RuntimeType
from darkroom_bench.still_device import Device
from darkroom_bench.still_graphs import StillComfyUi, StillInvokeAi

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


def create_app(kind: RuntimeType, seconds: float) -> web.Application:
    """The server."""
    device = Device(seconds)
    app = web.Application(client_max_size=BODY_BYTES)
    app.router.add_get("/spans", device.tell_spans)
    app.router.add_get("/late", device.tell_late)
    match kind:
        case RuntimeType.SDWEBUI:
            _StillSdWebui(device).serve(app)
        case RuntimeType.COMFYUI:
            StillComfyUi(device, noise(SIDE)).serve(app)
        case RuntimeType.INVOKEAI:
            StillInvokeAi(device, noise(SIDE)).serve(app)
    return app


class _StillSdWebui:
    def __init__(self, device: Device) -> None:
        self._device = device
        self._answers = {SIDE: _answer(SIDE)}

    def serve(self, app: web.Application) -> None:
        app.router.add_post("/sdapi/v1/txt2img", self.generate)
        app.router.add_post("/sdapi/v1/img2img", self.generate)
        app.router.add_get("/sdapi/v1/progress", self.progress)
        app.router.add_get("/sdapi/v1/memory", self.memory)
        app.router.add_post("/sdapi/v1/interrupt", self.memory)

    async def generate(self, request: web.Request) -> web.Response:
        found = _WIDTH.search(await request.read())
        side = int(found[1]) if found else SIDE
        if side not in self._answers:
            self._answers[side] = await asyncio.to_thread(_answer, side)
        await self._device.work()
        return web.Response(body=self._answers[side], content_type="application/json")

    async def progress(self, _: web.Request) -> web.Response:
        busy = self._device.is_busy
        state = {
            "job": "still" if busy else "",
            "job_timestamp": str(len(self._device.spans) + busy),
            "interrupted": False,
        }
        return web.json_response({"progress": 0.0, "state": state})

    async def memory(self, _: web.Request) -> web.Response:
        return web.json_response({})


def _answer(side: int) -> bytes:
    info = json.dumps({"all_seeds": [1], "sd_model_name": "still"})
    image = base64.b64encode(noise(side)).decode()
    return json.dumps({"images": [image], "parameters": {}, "info": info}).encode()


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


if __name__ == "__main__":
    web.run_app(
        create_app(RuntimeType(sys.argv[1]), float(sys.argv[3])),
        host=HOST,
        port=int(sys.argv[2]),
        access_log=None,
        print=lambda _: None,
    )
