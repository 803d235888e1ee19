"""The gRPC edge of model-sync: wire messages in and out of the catalogue."""

from __future__ import annotations

from typing import Any

from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from model_sync.catalogue import Catalogue
from model_sync.domain import Model
from model_sync.upload import PrepareUpload


class ModelService(modelsync_pb2_grpc.ModelServiceServicer):
    """Answers the router and ingest; errors become statuses in servicekit.rpc."""

    def __init__(self, catalogue: Catalogue, prepare_upload: PrepareUpload) -> None:
        self._catalogue = catalogue
        self._prepare_upload = prepare_upload

    async def ListModels(  # noqa: N802  # gRPC names its methods
        self, request: modelsync_pb2.ListModelsRequest, context: Any
    ) -> modelsync_pb2.ListModelsResponse:
        """The catalogue, or one kind of it."""
        if request.refresh:
            await self._catalogue.look_again()
        models = self._catalogue.models
        return modelsync_pb2.ListModelsResponse(
            models=[to_wire(m) for m in models if request.kind in {"", m.kind}]
        )

    async def GetModel(  # noqa: N802
        self, request: modelsync_pb2.GetModelRequest, context: Any
    ) -> modelsync_pb2.GetModelResponse:
        """One model."""
        found = await self._catalogue.find(request.kind, request.name)
        return modelsync_pb2.GetModelResponse(model=to_wire(found))

    async def CreateUpload(  # noqa: N802
        self, request: modelsync_pb2.CreateUploadRequest, context: Any
    ) -> modelsync_pb2.CreateUploadResponse:
        """A URL for one file."""
        upload = await self._prepare_upload(request.name, request.size_bytes)
        response = modelsync_pb2.CreateUploadResponse(url=upload.url)
        response.expires_at.FromDatetime(upload.expires_at)
        return response


def to_wire(model: Model) -> modelsync_pb2.Model:
    """The wire form of a model."""
    return modelsync_pb2.Model(
        name=model.name,
        kind=model.kind,
        size_bytes=model.size_bytes,
        format=model.format,
        valid=model.problem is None,
        problem=model.problem or "",
    )
