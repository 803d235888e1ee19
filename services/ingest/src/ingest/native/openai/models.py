"""What OpenAI's API calls models: the runtimes, and their checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from contracts.kinds import RuntimeType
from ingest.ports import Models, Router
from servicekit.errors import RejectedError

_CHECKPOINTS = "Stable-diffusion"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNames:
    """Lists them."""

    router: Router
    models: Models

    async def all(self) -> dict[str, Any]:
        """Each runtime, and each checkpoint of one that changes its model."""
        return {"object": "list", "data": [_model(name) for name in await self._names()]}

    async def one(self, model: str) -> dict[str, Any]:
        """One of them; raises `RejectedError` (`model_not_found`)."""
        if model not in await self._names():
            raise RejectedError(f"there is no model '{model}'", code="model_not_found")
        return _model(model)

    async def _names(self) -> list[str]:
        files = [one.name for one in await self.models.models() if one.kind == _CHECKPOINTS]
        names = []
        for runtime in await self.router.runtimes():
            if runtime.type == RuntimeType.SDWEBUI:
                names.append(runtime.name)
                if runtime.dynamic_model:
                    names += [f"{runtime.name}/{file}" for file in files]
        return names


def _model(name: str) -> dict[str, Any]:
    # We do not know when a model was made; clients require the field.
    return {"id": name, "object": "model", "created": 0, "owned_by": "darkroom"}


def add_models(app: FastAPI, names: ModelNames) -> None:
    """Add both routes."""
    base = "/openai/v1/models"
    app.add_api_route(base, names.all, methods=["GET"], include_in_schema=False)
    app.add_api_route(
        base + "/{model:path}", names.one, methods=["GET"], include_in_schema=False
    )
