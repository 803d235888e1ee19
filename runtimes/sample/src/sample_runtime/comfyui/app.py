"""The HTTP API and the websocket of ComfyUI 0.3."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psutil
from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse

from sample_runtime.about import about_router
from sample_runtime.checkpoints import CheckpointCatalog
from sample_runtime.comfyui.files import Folders
from sample_runtime.comfyui.graph import complaint, judge
from sample_runtime.comfyui.hub import Hub
from sample_runtime.comfyui.library import NODES
from sample_runtime.comfyui.nodes import Place
from sample_runtime.comfyui.pictures import picture_routes
from sample_runtime.comfyui.queue import Item, PromptQueue
from sample_runtime.gpu import Gpu


def create_app(gpu: Gpu, catalog: CheckpointCatalog, folders: Folders) -> FastAPI:
    """An app that serves the API at the root and under `/api`, as ComfyUI does."""
    place, hub = Place(gpu, catalog, folders), Hub()
    queue = PromptQueue(place, hub)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(queue.work(), name="prompt-worker")
            yield
            worker.cancel()

    app = FastAPI(title="Darkroom sample runtime", lifespan=lifespan)
    app.add_exception_handler(json.JSONDecodeError, _answer_bad_json)
    app.include_router(about_router("comfyui"))
    for router in (
        _prompt_routes(place, queue),
        _queue_routes(queue),
        _history_routes(queue),
        _description_routes(place),
        picture_routes(folders),
    ):
        app.include_router(router)
        app.include_router(router, prefix="/api")

    @app.websocket("/ws")
    async def websocket(socket: WebSocket) -> None:
        await hub.serve(socket, socket.query_params.get("clientId"))

    return app


async def _answer_bad_json(_request: Request, _error: Exception) -> PlainTextResponse:
    text = "500 Internal Server Error\n\nServer got itself in trouble"
    return PlainTextResponse(text, 500)


def _prompt_routes(place: Place, queue: PromptQueue) -> APIRouter:
    router = APIRouter()

    @router.get("/prompt")
    async def get_prompt() -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": queue.remaining()}}

    @router.post("/prompt")
    async def post_prompt(request: Request) -> JSONResponse:
        body = await request.json()
        if "prompt" not in body:
            text = "No prompt provided"
            error = complaint("no_prompt", text, text)
            return JSONResponse({"error": error, "node_errors": {}}, 400)
        try:
            named = _given_id(body)
        except ValueError as error:
            refusal = complaint("invalid_prompt_id", f"Invalid prompt_id: {error}", str(error))
            return JSONResponse({"error": refusal, "node_errors": {}}, 400)
        validation = judge(body["prompt"], place)
        if validation.error is not None:
            answer = {"error": validation.error, "node_errors": validation.node_errors}
            return JSONResponse(answer, 400)
        item = _accept(body, named, validation.outputs, queue)
        accepted = {
            "prompt_id": item.prompt_id,
            "number": item.number,
            "node_errors": validation.node_errors,
        }
        return JSONResponse(accepted)

    return router


def _given_id(body: dict[str, Any]) -> str:
    given = body.get("prompt_id") or str(uuid4())
    if not isinstance(given, str) or str(UUID(given)) != given:
        raise ValueError("job id must be a UUID in canonical lowercase hyphenated form")
    return given


def _accept(
    body: dict[str, Any], prompt_id: str, outputs: list[str], queue: PromptQueue
) -> Item:
    extra = dict(body.get("extra_data") or {})
    if "client_id" in body:
        extra["client_id"] = body["client_id"]
    number = body.get("number")
    if number is None:
        number = queue.next_number(front=bool(body.get("front")))
    item = Item(
        number=float(number) if isinstance(number, str) else number,
        prompt_id=prompt_id,
        prompt=body["prompt"],
        outputs=outputs,
        extra=extra,
    )
    queue.put(item)
    return item


def _queue_routes(queue: PromptQueue) -> APIRouter:
    router = APIRouter()

    @router.get("/queue")
    async def get_queue() -> dict[str, Any]:
        return {"queue_running": queue.running(), "queue_pending": queue.waiting()}

    @router.post("/queue")
    async def change_queue(request: Request) -> Response:
        body = await request.json()
        if body.get("clear"):
            queue.drop(lambda _: True)
        if "delete" in body:
            queue.drop(lambda item: item.prompt_id in body["delete"])
        return Response()

    @router.post("/interrupt")
    async def interrupt(request: Request) -> Response:
        body = await request.json() if await request.body() else {}
        queue.interrupt(body.get("prompt_id"))
        return Response()

    @router.post("/free")
    async def free(request: Request) -> Response:
        if (await request.json()).get("free_memory"):
            queue.forget()
        return Response()

    return router


def _history_routes(queue: PromptQueue) -> APIRouter:
    router = APIRouter()

    @router.get("/history")
    async def get_history(max_items: int | None = None) -> dict[str, Any]:
        entries = list(queue.history.items())
        return dict(entries if max_items is None else entries[-max_items:])

    @router.get("/history/{prompt_id}")
    async def get_history_entry(prompt_id: str) -> dict[str, Any]:
        return {key: queue.history[key] for key in (prompt_id,) if key in queue.history}

    @router.post("/history")
    async def change_history(request: Request) -> Response:
        body = await request.json()
        for prompt_id in list(queue.history) if body.get("clear") else body.get("delete", []):
            queue.history.pop(prompt_id, None)
        return Response()

    return router


def _description_routes(place: Place) -> APIRouter:
    router = APIRouter()

    @router.get("/object_info")
    async def object_info() -> dict[str, Any]:
        return {name: node.describe(name, place) for name, node in NODES.items()}

    @router.get("/object_info/{name}")
    async def object_info_of(name: str) -> dict[str, Any]:
        return {name: NODES[name].describe(name, place)} if name in NODES else {}

    @router.get("/embeddings")
    async def embeddings() -> list[str]:
        return []

    @router.get("/system_stats")
    async def system_stats() -> dict[str, Any]:
        return _system_stats()

    return router


def _system_stats() -> dict[str, Any]:
    ram = psutil.virtual_memory()
    return {
        "system": {
            "os": "posix",
            "ram_total": ram.total,
            "ram_free": ram.available,
            "comfyui_version": "sample-0.3.64",
            "python_version": platform.python_version(),
            "pytorch_version": "none",
            "embedded_python": False,
            "argv": [],
        },
        "devices": [
            {
                "name": "sample runtime, no device",
                "type": "cpu",
                "index": 0,
                "vram_total": ram.total,
                "vram_free": ram.available,
                "torch_vram_total": ram.total,
                "torch_vram_free": ram.available,
            }
        ],
    }
