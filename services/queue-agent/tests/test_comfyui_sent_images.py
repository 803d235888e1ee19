"""Images that a node such as SaveImageWebsocket sends over the websocket and keeps nowhere."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from comfyui_jobs import ignore, job, node, runtime

from queue_agent.domain import Job, TaskFailedError
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime
from queue_agent.runtimes.http import runtime_http

GRAPH = {
    "1": node("EmptyImage", width=8, height=8),
    "2": node("KSampler", steps=1),
    "3": node("SaveImageWebsocket", images=["1", 0]),
    "4": node("ETN_SendImageWebSocket", images=["1", 0]),
}
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff\xe0"


def frame(image: bytes, event: int = 1) -> bytes:
    """As ComfyUI sends images: the event, the format, the file."""
    return struct.pack(">II", event, 2) + image


@dataclass
class Comfy:
    """A ComfyUI that runs a prompt at once and tells it only to who listens already."""

    frames: list[tuple[str, bytes]]  # by the node that runs then
    drops: bool = False  # the connection, before it tells the end
    sockets: dict[str, web.WebSocketResponse] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ws", self.ws)
        app.router.add_post("/prompt", self.prompt)
        app.router.add_get("/history/{id}", self.history)
        app.router.add_get("/queue", self.queue)
        app.router.add_route("*", "/{rest:.*}", self.queue)
        return app

    async def queue(self, _: web.Request) -> web.Response:
        return web.json_response({"queue_running": [], "queue_pending": []})

    async def history(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        status = {"status_str": "success", "completed": True, "messages": []}
        entry = {"outputs": {"4": {"n": [1]}}, "status": status}
        return web.json_response({name: entry} if name in self.done else {})

    async def ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[request.query["clientId"]] = socket
        async for _ in socket:
            pass
        return socket

    async def prompt(self, request: web.Request) -> web.Response:
        name = (await request.json())["prompt_id"]
        self.done.add(name)  # the history has the end before it is told
        if socket := self.sockets.get(name):
            asyncio.get_running_loop().call_later(
                0.1, lambda: asyncio.ensure_future(self.tell(name, socket))
            )
        return web.json_response({"prompt_id": name, "number": 1, "node_errors": {}})

    async def tell(self, name: str, socket: web.WebSocketResponse) -> None:
        for node_id, image in self.frames:
            told = {"prompt_id": name, "node": node_id}
            await socket.send_json({"type": "executing", "data": told})
            await socket.send_bytes(image)
        if self.drops:
            await socket.close()
        else:
            await socket.send_json({"type": "execution_success", "data": {"prompt_id": name}})


@asynccontextmanager
async def served(comfy: Comfy) -> AsyncIterator[ComfyUiRuntime]:
    server = TestServer(comfy.app())
    async with server, runtime_http(str(server.make_url("/")), 1000) as http:
        yield runtime(http)


def kept(content: dict[str, Any] = GRAPH) -> Job:
    return replace(job(content), keep_previews=True)


async def test_sent_images_are_results_if_previews_are_kept() -> None:
    frames = [
        ("2", frame(JPEG + b"preview")),
        ("3", frame(PNG + b"1")),
        ("3", frame(PNG + b"2")),
        ("3", frame(b"text", event=3)),
        ("4", frame(JPEG + b"3")),
        ("3", b"\0\0"),
    ]
    async with served(Comfy(frames)) as server:
        made = await server.run(kept(), ignore)

    assert [file.body for file in made.files] == [PNG + b"1", PNG + b"2", JPEG + b"3"]
    assert made.answer["outputs"]["3"]["sent_images"] == [
        {"filename": "3-1.png", "subfolder": "", "type": "websocket"},
        {"filename": "3-2.png", "subfolder": "", "type": "websocket"},
    ]
    assert set(made.answer["outputs"]["4"]) == {"n", "sent_images"}
    assert [file.ref for file in made.files] == [
        (f"{name}.png", "", "websocket") for name in ("3-1", "3-2", "4-1")
    ]


async def test_sent_images_are_dropped_if_previews_are_not_kept() -> None:
    async with served(Comfy([("3", frame(PNG))])) as server:
        made = await server.run(job(GRAPH), ignore)

    assert not made.files
    assert 'metadata.previews to "keep"' in made.why_nothing


@pytest.mark.parametrize(
    ("comfy", "said"),
    [
        (Comfy([("3", frame(PNG))], drops=True), "the connection was lost"),
        (Comfy([("3", frame(PNG + bytes(600)))] * 2), "more than 1000 bytes"),
    ],
)
async def test_images_that_did_not_all_come_are_a_failure(comfy: Comfy, said: str) -> None:
    async with asyncio.timeout(120), served(comfy) as server:
        with pytest.raises(TaskFailedError, match=said) as caught:
            await server.run(kept(), ignore)
    assert caught.value.failure.code == "runtime_error"


async def test_server_that_takes_no_websocket_is_not_waited_for_for_ever() -> None:
    comfy = Comfy([])
    app = web.Application()
    app.router.add_get("/queue", comfy.queue)
    server = TestServer(app)

    async with asyncio.timeout(120), server, runtime_http(str(server.make_url("/"))) as http:
        impatient = replace(runtime(http), silence=timedelta(seconds=0.2))
        with pytest.raises(TaskFailedError, match="it takes no websocket"):
            await impatient.run(kept(), ignore)
