"""`Notifier` by gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from contracts.ids import Uid
from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from servicekit.rpc import translated


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcNotifier:
    """Asks the notifier; each call ends within its timeout."""

    stub: notifier_pb2_grpc.NotifierServiceAsyncStub
    timeout: timedelta

    async def settle_cancel(self, uid: Uid) -> None:
        request = notifier_pb2.SettleCancelRequest(uid=uid)
        with translated("notifier.settle_cancel"):
            await self.stub.SettleCancel(request, timeout=self.timeout.total_seconds())
