"""A service to call, a real server for it, and processes that end by themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from servicekit.health import Health
from servicekit.rpc import Renewal, channel, serving

if TYPE_CHECKING:
    from darkroom.modelsync.v1.modelsync_pb2_grpc import ModelServiceAsyncStub

SERVICE = "darkroom.modelsync.v1.ModelService"
ASK = modelsync_pb2.GetModelRequest(kind="Lora", name="x")


@dataclass
class FakeModelService(modelsync_pb2_grpc.ModelServiceServicer):
    """Answers, or raises what it is told to raise, and counts."""

    error: Exception | None = None
    calls: int = 0
    metadata: dict[str, str] = field(default_factory=dict)

    async def GetModel(  # noqa: N802  # gRPC names its methods
        self, request: modelsync_pb2.GetModelRequest, context: Any
    ) -> modelsync_pb2.GetModelResponse:
        self.calls += 1
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        if self.error:
            raise self.error
        return modelsync_pb2.GetModelResponse(model=modelsync_pb2.Model(name=request.name))

    async def ListModels(  # noqa: N802
        self, request: modelsync_pb2.ListModelsRequest, context: Any
    ) -> modelsync_pb2.ListModelsResponse:
        return modelsync_pb2.ListModelsResponse()

    async def CreateUpload(  # noqa: N802
        self, request: modelsync_pb2.CreateUploadRequest, context: Any
    ) -> modelsync_pb2.CreateUploadResponse:
        return modelsync_pb2.CreateUploadResponse()


@asynccontextmanager
async def served(
    service: FakeModelService,
    port: int,
    health: Health | None = None,
    renewal: Renewal | None = None,
) -> AsyncIterator[None]:
    async with serving(
        f"127.0.0.1:{port}",
        health or Health(),
        (SERVICE,),
        lambda server: modelsync_pb2_grpc.add_ModelServiceServicer_to_server(service, server),
        renewal=renewal,
    ):
        yield


@asynccontextmanager
async def called(
    port: int,
) -> AsyncIterator[tuple[ModelServiceAsyncStub, grpc.aio.Channel]]:
    async with channel(f"127.0.0.1:{port}") as opened:
        yield modelsync_pb2_grpc.ModelServiceStub(opened), opened


def command(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", code, *arguments]


def environment(**variables: str) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], **variables}


def run(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, because it changes what a process has once."""
    return subprocess.run(  # our own code
        command(code, *arguments),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
