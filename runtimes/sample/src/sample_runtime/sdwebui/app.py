"""The HTTP API of SD WebUI 1.10."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from sample_runtime import infotext
from sample_runtime.about import about_router
from sample_runtime.checkpoints import CheckpointCatalog
from sample_runtime.gpu import Gpu
from sample_runtime.sdwebui import images
from sample_runtime.sdwebui.counters import RunCounters
from sample_runtime.sdwebui.extras import Extras
from sample_runtime.sdwebui.generation import Generation
from sample_runtime.sdwebui.listings import SAMPLERS, SCHEDULERS, SCRIPTS, UPSCALERS
from sample_runtime.sdwebui.options import Options
from sample_runtime.sdwebui.requests import PngInfoRequest

_FAILURES = (
    AssertionError,
    FileNotFoundError,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
_ESRGAN_SCALE = 4


def create_app(gpu: Gpu, catalog: CheckpointCatalog) -> FastAPI:
    """An app that serves the device and the checkpoints under `/sdapi/v1`."""
    app = FastAPI(title="Darkroom sample runtime")
    app.add_exception_handler(HTTPException, _answer_failure)
    for failure in _FAILURES:
        app.add_exception_handler(failure, _answer_failure)
    options, counters = Options(catalog), RunCounters(gpu)
    app.include_router(about_router("sdwebui"))
    for router in (
        _work_routes(gpu, options, counters),
        _control_routes(gpu, counters),
        _option_routes(options),
        _listing_routes(catalog),
    ):
        app.include_router(router, prefix="/sdapi/v1")
    return app


async def _answer_failure(_: Request, error: Exception) -> JSONResponse:
    known = error if isinstance(error, HTTPException) else None
    body = {
        "error": type(error).__name__,
        "detail": known.detail if known else "",
        "body": "",
        "errors": "" if known else str(error),
    }
    return JSONResponse(body, known.status_code if known else 500)


def _work_routes(gpu: Gpu, options: Options, counters: RunCounters) -> APIRouter:
    router = APIRouter()
    generation, extras = Generation(gpu, options, counters), Extras(gpu, counters)
    router.post("/txt2img")(generation.txt2img)
    router.post("/img2img")(generation.img2img)
    router.post("/extra-single-image")(extras.single)
    router.post("/extra-batch-images")(extras.batch)
    router.post("/png-info")(_read_png_info)
    return router


async def _read_png_info(request: PngInfoRequest) -> dict[str, Any]:
    image = await asyncio.to_thread(images.decode, request.image)
    texts = {key: value for key, value in image.info.items() if isinstance(value, str)}
    text = texts.get("parameters", "")
    return {"info": text, "items": texts, "parameters": infotext.parse(text)}


def _control_routes(gpu: Gpu, counters: RunCounters) -> APIRouter:
    router = APIRouter()

    @router.get("/progress")
    async def get_progress() -> dict[str, Any]:
        return counters.as_dict()

    @router.post("/interrupt")
    async def interrupt() -> dict[str, Any]:
        gpu.interrupt()
        return {}

    @router.post("/skip")
    async def skip() -> None:
        gpu.skip()

    @router.get("/memory")
    async def memory() -> dict[str, Any]:
        ram = psutil.virtual_memory()
        return {
            "ram": {"free": ram.available, "used": ram.used, "total": ram.total},
            "cuda": {"error": "unavailable"},
        }

    return router


def _option_routes(options: Options) -> APIRouter:
    router = APIRouter()

    @router.get("/options")
    async def get_options() -> dict[str, Any]:
        return options.as_dict()

    @router.post("/options")
    async def set_options(wanted: dict[str, Any]) -> None:
        options.update(wanted)

    @router.get("/cmd-flags")
    async def cmd_flags() -> dict[str, Any]:
        return {"api": True, "nowebui": True, "listen": False, "no_half": False}

    return router


def _listing_routes(catalog: CheckpointCatalog) -> APIRouter:
    router = APIRouter()

    @router.get("/sd-models")
    async def sd_models() -> list[dict[str, Any]]:
        return [
            {
                "title": one.title,
                "model_name": one.model_name,
                "hash": one.short_hash,
                "sha256": one.sha256,
                "filename": f"{one.folder}/{one.name}",
                "config": None,
            }
            for one in catalog.checkpoints
        ]

    @router.post("/refresh-checkpoints")
    async def refresh_checkpoints() -> None:
        await asyncio.to_thread(catalog.refresh)

    @router.post("/unload-checkpoint")
    @router.post("/reload-checkpoint")
    async def move_checkpoint() -> dict[str, Any]:
        return {}

    _add_constant_listings(router)
    return router


def _add_constant_listings(router: APIRouter) -> None:
    listings: dict[str, Any] = {
        "/samplers": [{"name": name, "aliases": [], "options": {}} for name in SAMPLERS],
        "/schedulers": [
            {"name": name.lower().replace(" ", "_"), "label": name} for name in SCHEDULERS
        ],
        "/upscalers": [
            {
                "name": name,
                "model_name": None,
                "model_path": None,
                "model_url": None,
                "scale": _ESRGAN_SCALE,
            }
            for name in UPSCALERS
        ],
        "/latent-upscale-modes": [{"name": "Latent"}],
        "/sd-vae": [],
        "/loras": [],
        "/hypernetworks": [],
        "/face-restorers": [],
        "/prompt-styles": [],
        "/embeddings": {"loaded": {}, "skipped": {}},
        "/scripts": SCRIPTS,
    }
    for path, body in listings.items():
        router.get(path)(_constant(body))


def _constant(body: Any) -> Any:
    async def listing() -> Any:
        return body

    return listing
