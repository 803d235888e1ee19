"""`Models` by gRPC from model-sync."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from servicekit.errors import RejectedError
from servicekit.rpc import translated

KIND = "Stable-diffusion"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcModels:
    """Asks for one checkpoint a call; model-sync looks in the bucket when it knows of none."""

    stub: modelsync_pb2_grpc.ModelServiceAsyncStub
    timeout: timedelta

    async def require_checkpoint(self, name: str) -> None:
        request = modelsync_pb2.GetModelRequest(kind=KIND, name=name)
        with translated("model_sync.get_model"):
            answer = await self.stub.GetModel(request, timeout=self.timeout.total_seconds())
        if not answer.model.valid:
            raise RejectedError(
                f"the checkpoint '{name}' cannot be used: {answer.model.problem}",
                code="model_not_found",
            )
