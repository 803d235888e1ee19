"""The notifier over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc

from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from ingest.domain import Change
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.notifier.v1.notifier_pb2_grpc import NotifierServiceAsyncStub


class GrpcNotifier:
    """Watches tasks; a stream ends with `TransientError` within its timeout at the latest."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: timedelta) -> None:
        self._stub: NotifierServiceAsyncStub = notifier_pb2_grpc.NotifierServiceStub(channel)
        self._seconds = timeout.total_seconds()

    async def watch(self, uid: str, after_sequence: int) -> AsyncGenerator[Change, None]:
        request = notifier_pb2.WatchTaskRequest(uid=uid, after_sequence=after_sequence)
        call = self._stub.WatchTask(request, timeout=self._seconds)
        try:
            with translated("notifier.WatchTask"):
                async for answer in call:
                    yield Change(sequence=answer.sequence, task=answer.task)
        finally:
            call.cancel()
