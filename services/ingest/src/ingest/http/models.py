"""The routes of the model bucket."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ingest.bodies import Bodies
from ingest.http import openapi
from ingest.http.body import read_model
from ingest.http.views import ModelsView, UploadView
from ingest.ports import Models

EXAMPLE = {"name": "Lora/detail.safetensors", "bytes": 151112312}


class NewModel(BaseModel):
    """Which model file will be sent."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1, max_length=1024, description="Its kind and name: `Lora/a.safetensors`."
    )
    bytes: int = Field(ge=1, le=5 * 2**30, strict=True, description="Its size; up to 5 GiB.")


def add_models(app: FastAPI, models: Models, bodies: Bodies) -> None:
    """Add the routes that tell of models and let one be sent."""

    @app.get(
        "/v1/models",
        operation_id="listModels",
        summary="List the models that can be asked for",
        responses=openapi.refusals(openapi.READING),
    )
    async def list_models() -> ModelsView:
        return ModelsView.of(await models.models())

    @app.post(
        "/v1/models",
        operation_id="createUpload",
        summary="Give a URL that takes one model file by PUT",
        responses=openapi.refusals(openapi.SUBMITTING),
        openapi_extra=openapi.json_body(NewModel, {"a LoRA": EXAMPLE}),
    )
    async def create_upload(request: Request, response: Response) -> UploadView:
        new = await read_model(NewModel, request, bodies)
        response.headers["Cache-Control"] = "no-store"
        return UploadView.of(await models.upload(new.name, new.bytes))
