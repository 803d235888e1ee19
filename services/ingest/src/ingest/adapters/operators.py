"""What the router does for operators, over gRPC."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc

from darkroom.router.v1 import operators_pb2, operators_pb2_grpc
from ingest.adapters.router import reader_of
from ingest.domain import Caller
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.router.v1.operators_pb2_grpc import OperatorServiceAsyncStub


class GrpcOperators:
    """Asks the router; each call ends within its timeout, whatever happens."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: timedelta) -> None:
        self._stub: OperatorServiceAsyncStub = operators_pb2_grpc.OperatorServiceStub(channel)
        self._seconds = timeout.total_seconds()

    async def overview(self, caller: Caller) -> operators_pb2.GetOverviewResponse:
        request = operators_pb2.GetOverviewRequest(reader=reader_of(caller))
        with translated("router.GetOverview"):
            return await self._stub.GetOverview(request, timeout=self._seconds)
