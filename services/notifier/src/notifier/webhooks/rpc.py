"""The gRPC edge of webhooks: wire messages in and out of the use cases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from darkroom.notifier.v1 import webhooks_pb2, webhooks_pb2_grpc
from notifier.webhooks.domain import Delivery, Webhook
from notifier.webhooks.manage import Manage


class WebhookService(webhooks_pb2_grpc.WebhookServiceServicer):
    """Answers ingest; errors become statuses in servicekit.rpc."""

    def __init__(self, manage: Manage) -> None:
        self._manage = manage

    async def CreateWebhook(  # noqa: N802  # gRPC names its methods
        self, request: webhooks_pb2.CreateWebhookRequest, context: Any
    ) -> webhooks_pb2.CreateWebhookResponse:
        """Add a webhook."""
        webhook, secret = await self._manage.create(
            request.tenant, request.url, request.events, request.runtime
        )
        return webhooks_pb2.CreateWebhookResponse(webhook=_to_wire(webhook), secret=secret)

    async def ListWebhooks(  # noqa: N802
        self, request: webhooks_pb2.ListWebhooksRequest, context: Any
    ) -> webhooks_pb2.ListWebhooksResponse:
        """A tenant's webhooks."""
        found = await self._manage.list(request.tenant)
        return webhooks_pb2.ListWebhooksResponse(webhooks=map(_to_wire, found))

    async def DeleteWebhook(  # noqa: N802
        self, request: webhooks_pb2.DeleteWebhookRequest, context: Any
    ) -> webhooks_pb2.DeleteWebhookResponse:
        """Remove a webhook."""
        removed = await self._manage.delete(request.tenant, request.id)
        return webhooks_pb2.DeleteWebhookResponse(webhook=_to_wire(removed))

    async def RotateWebhook(  # noqa: N802
        self, request: webhooks_pb2.RotateWebhookRequest, context: Any
    ) -> webhooks_pb2.RotateWebhookResponse:
        """Give a webhook a new secret."""
        secret, old_until = await self._manage.rotate(request.tenant, request.id)
        return webhooks_pb2.RotateWebhookResponse(secret=secret, old_until=_stamp(old_until))

    async def TestWebhook(  # noqa: N802
        self, request: webhooks_pb2.TestWebhookRequest, context: Any
    ) -> webhooks_pb2.TestWebhookResponse:
        """Try a webhook."""
        uid = await self._manage.test(request.tenant, request.id)
        return webhooks_pb2.TestWebhookResponse(uid=uid)

    async def ReplayWebhook(  # noqa: N802
        self, request: webhooks_pb2.ReplayWebhookRequest, context: Any
    ) -> webhooks_pb2.ReplayWebhookResponse:
        """Tell a webhook again."""
        until = (
            request.until.ToDatetime(UTC) if request.HasField("until") else datetime.now(UTC)
        )
        await self._manage.replay(
            request.tenant, request.id, request.since.ToDatetime(UTC), until
        )
        return webhooks_pb2.ReplayWebhookResponse()

    async def ListDeliveries(  # noqa: N802
        self, request: webhooks_pb2.ListDeliveriesRequest, context: Any
    ) -> webhooks_pb2.ListDeliveriesResponse:
        """What became of events."""
        found = await self._manage.deliveries(request.tenant, request.id)
        return webhooks_pb2.ListDeliveriesResponse(deliveries=map(_delivery, found))

    async def CheckCallbackUrl(  # noqa: N802
        self, request: webhooks_pb2.CheckCallbackUrlRequest, context: Any
    ) -> webhooks_pb2.CheckCallbackUrlResponse:
        """Say whether a task may name a URL."""
        await self._manage.check_callback_url(request.tenant, request.url)
        return webhooks_pb2.CheckCallbackUrlResponse()


def _to_wire(webhook: Webhook) -> webhooks_pb2.Webhook:
    return webhooks_pb2.Webhook(
        id=webhook.id,
        tenant=webhook.tenant,
        url=webhook.url,
        events=webhook.events,
        runtime=webhook.runtime,
        state=webhook.state,
        created_at=_stamp(webhook.created_at),
    )


def _delivery(delivery: Delivery) -> webhooks_pb2.Delivery:
    return webhooks_pb2.Delivery(
        uid=delivery.uid,
        event=delivery.event,
        state=delivery.state,
        tries=delivery.tries,
        status=delivery.status,
        error=delivery.error,
        tried_at=_stamp(delivery.tried_at),
        next_try_at=_stamp(delivery.next_try_at) if delivery.next_try_at else None,
    )


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
