"""The webhooks of the notifier over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import grpc

from darkroom.notifier.v1 import webhooks_pb2, webhooks_pb2_grpc
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.notifier.v1.webhooks_pb2_grpc import WebhookServiceAsyncStub


class GrpcWebhooks:
    """Asks the notifier; each call ends within its timeout, whatever happens."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: timedelta) -> None:
        self._stub: WebhookServiceAsyncStub = webhooks_pb2_grpc.WebhookServiceStub(channel)
        self._seconds = timeout.total_seconds()

    async def create(
        self, tenant: str, url: str, events: Sequence[str], runtime: str
    ) -> tuple[webhooks_pb2.Webhook, str]:
        request = webhooks_pb2.CreateWebhookRequest(
            tenant=tenant, url=url, events=events, runtime=runtime
        )
        with translated("notifier.CreateWebhook"):
            answer = await self._stub.CreateWebhook(request, timeout=self._seconds)
        return answer.webhook, answer.secret

    async def list(self, tenant: str) -> Sequence[webhooks_pb2.Webhook]:
        request = webhooks_pb2.ListWebhooksRequest(tenant=tenant)
        with translated("notifier.ListWebhooks"):
            return (await self._stub.ListWebhooks(request, timeout=self._seconds)).webhooks

    async def delete(self, tenant: str, id: str) -> webhooks_pb2.Webhook:
        request = webhooks_pb2.DeleteWebhookRequest(tenant=tenant, id=id)
        with translated("notifier.DeleteWebhook"):
            return (await self._stub.DeleteWebhook(request, timeout=self._seconds)).webhook

    async def rotate(self, tenant: str, id: str) -> webhooks_pb2.RotateWebhookResponse:
        request = webhooks_pb2.RotateWebhookRequest(tenant=tenant, id=id)
        with translated("notifier.RotateWebhook"):
            return await self._stub.RotateWebhook(request, timeout=self._seconds)

    async def test(self, tenant: str, id: str) -> str:
        request = webhooks_pb2.TestWebhookRequest(tenant=tenant, id=id)
        with translated("notifier.TestWebhook"):
            return (await self._stub.TestWebhook(request, timeout=self._seconds)).uid

    async def replay(
        self, tenant: str, id: str, since: datetime, until: datetime | None
    ) -> None:
        request = webhooks_pb2.ReplayWebhookRequest(tenant=tenant, id=id)
        request.since.FromDatetime(since)
        if until is not None:
            request.until.FromDatetime(until)
        with translated("notifier.ReplayWebhook"):
            await self._stub.ReplayWebhook(request, timeout=self._seconds)

    async def deliveries(self, tenant: str, id: str) -> Sequence[webhooks_pb2.Delivery]:
        request = webhooks_pb2.ListDeliveriesRequest(tenant=tenant, id=id)
        with translated("notifier.ListDeliveries"):
            return (await self._stub.ListDeliveries(request, timeout=self._seconds)).deliveries
