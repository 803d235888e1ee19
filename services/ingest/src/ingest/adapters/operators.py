"""What the router does for operators, over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
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

    def __init__(
        self, channel: grpc.aio.Channel, *, timeout: timedelta, long_timeout: timedelta
    ) -> None:
        self._stub: OperatorServiceAsyncStub = operators_pb2_grpc.OperatorServiceStub(channel)
        self._seconds = timeout.total_seconds()
        self._long = long_timeout.total_seconds()

    async def overview(self, caller: Caller) -> operators_pb2.GetOverviewResponse:
        request = operators_pb2.GetOverviewRequest(reader=reader_of(caller))
        with translated("router.GetOverview"):
            return await self._stub.GetOverview(request, timeout=self._seconds)

    async def dead_letters(
        self, caller: Caller, runtime: str, limit: int
    ) -> Sequence[operators_pb2.DeadLetter]:
        request = operators_pb2.ListDeadLettersRequest(
            reader=reader_of(caller), runtime=runtime, limit=limit
        )
        with translated("router.ListDeadLetters"):
            return (await self._stub.ListDeadLetters(request, timeout=self._long)).dead_letters

    async def redrive(
        self, caller: Caller, runtime: str, messages: Sequence[str] | None
    ) -> Sequence[operators_pb2.DeadLetterResult]:
        request = operators_pb2.RedriveDeadLettersRequest(
            reader=reader_of(caller), runtime=runtime, messages=_named(messages)
        )
        with translated("router.RedriveDeadLetters"):
            return (await self._stub.RedriveDeadLetters(request, timeout=self._long)).results

    async def purge(
        self, caller: Caller, runtime: str, messages: Sequence[str] | None
    ) -> Sequence[operators_pb2.DeadLetterResult]:
        request = operators_pb2.PurgeDeadLettersRequest(
            reader=reader_of(caller), runtime=runtime, messages=_named(messages)
        )
        with translated("router.PurgeDeadLetters"):
            return (await self._stub.PurgeDeadLetters(request, timeout=self._long)).results


def _named(messages: Sequence[str] | None) -> operators_pb2.Messages | None:
    return None if messages is None else operators_pb2.Messages(ids=messages)
