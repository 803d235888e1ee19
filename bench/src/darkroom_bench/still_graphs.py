"""Stand-ins for ComfyUI and InvokeAI that cost no CPU, and tell ends as those do."""

from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import Any, Final

from aiohttp import web

from darkroom_bench.still_device import Device

# A ComfyUI 0.3.64 tells `execution_success` so many seconds before its history has the prompt.
HISTORY_LAG: Final = (0.005, 0.05)


class StillComfyUi:
    """A ComfyUI whose prompts take the device one after another."""

    def __init__(self, device: Device, image: bytes) -> None:
        self._device, self._image = device, image
        self._queued: list[str] = []
        self._history: dict[str, Any] = {}
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._running = set[asyncio.Task[None]]()

    def serve(self, app: web.Application) -> None:
        """Add its paths."""
        app.router.add_get("/ws", self.listen)
        app.router.add_post("/prompt", self.prompt)
        app.router.add_get("/history/{id}", self.history)
        app.router.add_post("/history", self.nothing)
        app.router.add_get("/queue", self.queue)
        app.router.add_post("/queue", self.nothing)
        app.router.add_get("/view", self.view)
        app.router.add_get("/system_stats", self.nothing)
        app.router.add_get("/object_info", self.nothing)

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        """Tell events to a client until it is gone."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[request.query["clientId"]] = socket
        async for _ in socket:
            pass
        del self._sockets[request.query["clientId"]]
        return socket

    async def prompt(self, request: web.Request) -> web.Response:
        """Queue a prompt."""
        body = await request.json()
        name = body["prompt_id"]
        self._queued.append(name)
        work = asyncio.create_task(self._work(name, body["client_id"]), name=name)
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        return web.json_response({"prompt_id": name, "number": 1, "node_errors": {}})

    async def _work(self, name: str, client: str) -> None:
        async with self._device.turn():
            await self._tell(client, "execution_start", name)
            await self._device.draw()
            await self._tell(client, "execution_success", name)
            await asyncio.sleep(random.uniform(*HISTORY_LAG))  # noqa: S311  # no secret
            file = {"filename": f"{name}.png", "subfolder": "", "type": "output"}
            status = {"status_str": "success", "completed": True, "messages": []}
            self._history[name] = {"outputs": {"1": {"images": [file]}}, "status": status}
            self._queued.remove(name)
            self._device.end(name)

    async def _tell(self, client: str, kind: str, name: str) -> None:
        if socket := self._sockets.get(client):
            await socket.send_json({"type": kind, "data": {"prompt_id": name}})

    async def history(self, request: web.Request) -> web.Response:
        """The prompt, when it has ended."""
        name = request.match_info["id"]
        if name not in self._history:
            return web.json_response({})
        self._device.noticed(name)
        return web.json_response({name: self._history[name]})

    async def queue(self, _: web.Request) -> web.Response:
        """What runs and what waits."""
        listed = [[number, name, {}, {}, []] for number, name in enumerate(self._queued)]
        return web.json_response({"queue_running": listed[:1], "queue_pending": listed[1:]})

    async def view(self, _: web.Request) -> web.Response:
        """The image."""
        return web.Response(body=self._image, content_type="image/png")

    async def nothing(self, _: web.Request) -> web.Response:
        """An empty answer."""
        return web.json_response({})


class StillInvokeAi:
    """An InvokeAI whose items take the device one after another."""

    def __init__(self, device: Device, image: bytes) -> None:
        self._device, self._image = device, image
        self._items: dict[int, dict[str, Any]] = {}
        self._numbers = count(1)
        self._running = set[asyncio.Task[None]]()

    def serve(self, app: web.Application) -> None:
        """Add its paths."""
        queue = "/api/v1/queue/default"
        app.router.add_get("/api/v1/app/version", self.nothing)
        app.router.add_post(f"{queue}/enqueue_batch", self.enqueue)
        app.router.add_get(f"{queue}/list_all", self.listed)
        app.router.add_get(f"{queue}/i/{{id}}", self.item)
        app.router.add_delete(f"{queue}/i/{{id}}", self.nothing)
        app.router.add_get("/api/v1/images/i/{name}/full", self.view)
        app.router.add_post("/api/v1/images/delete", self.nothing)
        app.router.add_get("/api/v2/models/", self.models)

    async def enqueue(self, request: web.Request) -> web.Response:
        """Queue a batch of one item."""
        batch = (await request.json())["batch"]
        number = next(self._numbers)
        session = {"graph": batch["graph"], "results": {}, "prepared_source_mapping": {}}
        self._items[number] = {
            "item_id": number,
            "status": "in_progress",
            "destination": batch["destination"],
            "session": session,
        }
        work = asyncio.create_task(self._work(number), name=str(number))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        return web.json_response({"item_ids": [number], "enqueued": 1}, status=201)

    async def _work(self, number: int) -> None:
        await self._device.work()
        item = self._items[number]
        item["session"]["results"] = {"1": {"image": {"image_name": f"{number}.png"}}}
        item["status"] = "completed"
        self._device.end(str(number))

    async def item(self, request: web.Request) -> web.Response:
        """One item."""
        item = self._items[int(request.match_info["id"])]
        if item["status"] == "completed":
            self._device.noticed(request.match_info["id"])
        return web.json_response(item)

    async def listed(self, request: web.Request) -> web.Response:
        """The items of a destination."""
        named = request.query.get("destination")
        found = [one for one in self._items.values() if one["destination"] == named]
        return web.json_response(found)

    async def view(self, _: web.Request) -> web.Response:
        """The image."""
        return web.Response(body=self._image, content_type="image/png")

    async def models(self, _: web.Request) -> web.Response:
        """No models."""
        return web.json_response({"models": []})

    async def nothing(self, _: web.Request) -> web.Response:
        """An empty answer."""
        return web.json_response({})
