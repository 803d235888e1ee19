"""SD WebUI's listings, and its options: what a runtime offers, though none may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import Request

from contracts.kinds import RuntimeType
from ingest.native.calls import LISTED
from ingest.native.listings import Listings
from ingest.native.tasks import Tasks
from ingest.ports import Models
from servicekit.errors import RejectedError

_FOLDERS: Final = {"sd-models": "Stable-diffusion", "sd-vae": "VAE", "loras": "Lora"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """Tells what an agent has seen, and models from the catalogue before one has."""

    tasks: Tasks
    listings: Listings
    models: Models

    async def told(self, resource: str, name: str) -> Any:
        """What SD WebUI answers; raises `RejectedError` (`not_found`) if nobody knows."""
        runtime = await self.tasks.runtime(name, RuntimeType.SDWEBUI)
        seen = await self.listings.of(runtime.name)
        if resource in seen:
            return seen[resource]
        if resource in _FOLDERS:
            return [_file(resource, file) for file in await self._files(_FOLDERS[resource])]
        raise RejectedError(
            f"{resource} of '{runtime.name}' is not known before its first start",
            code="not_found",
        )

    async def _files(self, kind: str) -> list[str]:
        return [one.name for one in await self.models.models() if one.kind == kind]


def _file(resource: str, file: str) -> Mapping[str, Any]:
    stem = PurePosixPath(file).stem
    if resource == "sd-models":
        known = {"title": file, "hash": None, "sha256": None, "config": None}
        return {**known, "model_name": stem, "filename": file}
    if resource == "loras":
        return {"name": stem, "alias": stem, "path": file, "metadata": {}}
    return {"model_name": file, "filename": file}


def add_listings(app: FastAPI, offers: Offers, paths: tuple[str, ...]) -> None:
    """Add the routes below each of `paths`, which may name a runtime."""

    def add(path: str, resource: str) -> None:
        async def told(request: Request, runtime: str = "") -> Any:
            return await offers.told(resource, runtime)

        app.add_api_route(f"{path}/{resource}", told, methods=["GET"], include_in_schema=False)

    for path in paths:
        for resource in LISTED:
            add(path, resource)
