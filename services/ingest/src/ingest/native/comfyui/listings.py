"""ComfyUI's listings: what a runtime offers, though none may run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI

from contracts.kinds import RuntimeType
from ingest.native.listings import Listings
from ingest.native.tasks import Tasks
from servicekit.errors import RejectedError

_RESOURCES: Final = ("object_info", "system_stats", "embeddings", "extensions", "features")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """Tells what an agent has seen."""

    tasks: Tasks
    listings: Listings

    async def told(self, resource: str, name: str) -> Any:
        """What ComfyUI answers; raises `RejectedError` (`not_found`) if nobody knows."""
        runtime = await self.tasks.runtime(name, RuntimeType.COMFYUI)
        seen = await self.listings.of(runtime.name)
        if resource in seen:
            return seen[resource]
        raise RejectedError(
            f"{resource} of '{runtime.name}' is not known before its first start",
            code="not_found",
        )

    async def node(self, kind: str, name: str) -> dict[str, Any]:
        """The definition of one node; empty if there is none."""
        found = (await self.told("object_info", name)).get(kind)
        return {kind: found} if found else {}


def add_listings(app: FastAPI, offers: Offers, paths: tuple[str, ...]) -> None:
    """Add the routes below each of `paths`, which may name a runtime."""

    def add(path: str, resource: str) -> None:
        async def told(runtime: str = "") -> Any:
            return await offers.told(resource, runtime)

        app.add_api_route(f"{path}/{resource}", told, methods=["GET"], include_in_schema=False)

    async def node(kind: str, runtime: str = "") -> dict[str, Any]:
        return await offers.node(kind, runtime)

    for path in paths:
        for resource in _RESOURCES:
            add(path, resource)
        app.add_api_route(
            f"{path}/object_info/{{kind}}", node, methods=["GET"], include_in_schema=False
        )
