"""The catalogue of models over gRPC, as model-sync has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc

from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.modelsync.v1.modelsync_pb2_grpc import ModelServiceAsyncStub


class GrpcModels:
    """Asks model-sync; each call ends within its timeout, whatever happens."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: timedelta) -> None:
        self._stub: ModelServiceAsyncStub = modelsync_pb2_grpc.ModelServiceStub(channel)
        self._seconds = timeout.total_seconds()

    async def models(self) -> Sequence[modelsync_pb2.Model]:
        request = modelsync_pb2.ListModelsRequest(refresh=True)
        with translated("model-sync.ListModels"):
            return (await self._stub.ListModels(request, timeout=self._seconds)).models

    async def upload(self, name: str, size_bytes: int) -> modelsync_pb2.CreateUploadResponse:
        request = modelsync_pb2.CreateUploadRequest(name=name, size_bytes=size_bytes)
        with translated("model-sync.CreateUpload"):
            return await self._stub.CreateUpload(request, timeout=self._seconds)
