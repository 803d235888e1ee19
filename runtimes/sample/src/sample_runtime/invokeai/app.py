"""The HTTP API of InvokeAI 6, as far as it takes to run a graph and have its images."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, HTTPException, Response, UploadFile
from PIL import Image, UnidentifiedImageError

from sample_runtime.about import about_router
from sample_runtime.gpu import Gpu
from sample_runtime.invokeai.graph import Batch
from sample_runtime.invokeai.images import ImageStore
from sample_runtime.invokeai.models import ModelStore
from sample_runtime.invokeai.nodes import Stock
from sample_runtime.invokeai.queue import Item, SessionQueue

VERSION = "6.14.2"
_STATES = ("pending", "in_progress", "completed", "failed", "canceled")


def create_app(gpu: Gpu) -> FastAPI:
    """An app that serves the API under `/api/v1`."""
    stock = Stock()
    queue = SessionQueue(gpu, stock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(queue.work(), name="session-worker")
            yield
            worker.cancel()

    app = FastAPI(title="Darkroom sample runtime", lifespan=lifespan)
    app.include_router(about_router("invokeai"))
    for router in (_queue_routes(queue), _item_routes(queue), _image_routes(stock.images)):
        app.include_router(router, prefix="/api/v1")
    app.include_router(_deletion(stock.images, queue), prefix="/api/v1")
    app.include_router(_model_routes(stock.models), prefix="/api/v2/models")

    @app.get("/api/v1/app/version")
    async def version() -> dict[str, Any]:
        return {"version": VERSION, "highlights": None}

    return app


def _queue_routes(queue: SessionQueue) -> APIRouter:
    router = APIRouter(prefix="/queue/{queue_id}")

    @router.post("/enqueue_batch", status_code=201)
    async def enqueue_batch(
        queue_id: str,
        batch: Annotated[Batch, Body()],
        prepend: Annotated[bool, Body()] = False,
    ) -> dict[str, Any]:
        items = queue.put(batch)
        return {
            "queue_id": queue_id,
            "enqueued": len(items),
            "requested": len(items),
            "batch": batch.model_dump(),
            "priority": 0,
            "item_ids": [item.item_id for item in items],
        }

    @router.get("/list_all")
    async def list_all(destination: str | None = None) -> list[dict[str, Any]]:
        return [item.shown() for item in _of(queue, destination)]

    @router.put("/cancel_by_destination")
    async def cancel_by_destination(destination: str) -> dict[str, int]:
        found = [item for item in _of(queue, destination) if not item.ended]
        for item in found:
            queue.cancel(item)
        return {"canceled": len(found)}

    @router.get("/status")
    async def status(queue_id: str) -> dict[str, Any]:
        counts = Counter(item.status for item in queue.items.values())
        told = {state: counts[state] for state in _STATES}
        return {
            "queue": {"queue_id": queue_id, **told, "total": len(queue.items)},
            "processor": {"is_started": True, "is_processing": bool(told["in_progress"])},
        }

    return router


def _of(queue: SessionQueue, destination: str | None) -> list[Item]:
    items = queue.items.values()
    return [item for item in items if destination in (None, item.batch.destination)]


def _item_routes(queue: SessionQueue) -> APIRouter:
    router = APIRouter(prefix="/queue/{queue_id}/i/{item_id}")

    def find(item_id: int) -> Item:
        if item_id not in queue.items:
            raise HTTPException(404, f"Queue item with id {item_id} not found")
        return queue.items[item_id]

    @router.get("")
    async def get_item(item_id: int) -> dict[str, Any]:
        return find(item_id).shown()

    @router.put("/cancel")
    async def cancel_item(item_id: int) -> dict[str, Any]:
        item = find(item_id)
        queue.cancel(item)
        return item.shown()

    @router.delete("")
    async def delete_item(item_id: int) -> None:
        queue.cancel(find(item_id))
        del queue.items[item_id]

    return router


def _image_routes(images: ImageStore) -> APIRouter:
    router = APIRouter(prefix="/images")

    @router.post("/upload", status_code=201)
    async def upload(
        file: UploadFile, image_category: str, is_intermediate: bool
    ) -> dict[str, Any]:
        if not (file.content_type or "").startswith("image"):
            raise HTTPException(415, "Not an image")
        body = await file.read()
        try:
            picture = await asyncio.to_thread(_decoded, body)
        except UnidentifiedImageError:
            raise HTTPException(415, "Failed to read image") from None
        stored = images.save(picture, category=image_category, is_intermediate=is_intermediate)
        return stored.about

    @router.get("/i/{name}")
    async def about(name: str) -> dict[str, Any]:
        stored = images.find(name)
        if stored is None:
            raise HTTPException(404)
        return stored.about

    @router.get("/i/{name}/full")
    async def full(name: str) -> Response:
        stored = images.find(name)
        if stored is None:
            raise HTTPException(404)
        return Response(stored.body, media_type="image/png")

    return router


def _deletion(images: ImageStore, queue: SessionQueue) -> APIRouter:
    router = APIRouter(prefix="/images")

    def deleted(name: str) -> bool:
        queue.drop_results(name)
        return images.delete(name)

    @router.post("/delete")
    async def delete_images(
        image_names: Annotated[list[str], Body(embed=True, max_length=1000)],
    ) -> dict[str, list[str]]:
        gone = [name for name in dict.fromkeys(image_names) if deleted(name)]
        return {"deleted_images": gone, "failed_images": [], "affected_boards": ["none"]}

    return router


def _model_routes(models: ModelStore) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    async def list_models() -> dict[str, Any]:
        return {"models": list(models.models.values())}

    @router.get("/scan_folder")
    async def scan_folder(scan_path: str) -> list[dict[str, Any]]:
        if not Path(scan_path).is_dir():  # noqa: ASYNC240  # a stand-in may wait for its disk
            raise HTTPException(400, f"The search path '{scan_path}' could not be scanned")
        return models.scan(Path(scan_path))

    @router.post("/install", status_code=201)
    async def install(
        source: str, changes: Annotated[dict[str, Any], Body()], inplace: bool = False
    ) -> dict[str, Any]:
        if not inplace:
            raise HTTPException(400, "The stand-in takes models in place only")
        return models.install(Path(source), changes).shown()

    @router.get("/install")
    async def list_jobs() -> list[dict[str, Any]]:
        shown = [job.shown() for job in models.jobs]
        models.work()  # one more is done whenever somebody looks
        return shown

    return router


def _decoded(body: bytes) -> Image.Image:
    with Image.open(io.BytesIO(body)) as picture:
        return picture.convert("RGBA")
