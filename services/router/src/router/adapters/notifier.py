"""`Notifier` by gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from contracts.ids import Uid
from darkroom.notifier.v1 import (
    notifier_pb2,
    notifier_pb2_grpc,
    webhooks_pb2,
    webhooks_pb2_grpc,
)
from servicekit.rpc import translated


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcNotifier:
    """Asks the notifier; each call ends within its timeout."""

    stub: notifier_pb2_grpc.NotifierServiceAsyncStub
    webhooks: webhooks_pb2_grpc.WebhookServiceAsyncStub
    timeout: timedelta

    async def settle_cancel(self, uid: Uid) -> None:
        request = notifier_pb2.SettleCancelRequest(uid=uid)
        with translated("notifier.settle_cancel"):
            await self.stub.SettleCancel(request, timeout=self.timeout.total_seconds())

    async def check_callback_url(self, tenant: str, url: str) -> None:
        request = webhooks_pb2.CheckCallbackUrlRequest(tenant=tenant, url=url)
        with translated("notifier.check_callback_url"):
            await self.webhooks.CheckCallbackUrl(request, timeout=self.timeout.total_seconds())
