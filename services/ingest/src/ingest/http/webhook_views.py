"""The answers about webhooks, field for field."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from pydantic import Field

from darkroom.notifier.v1.webhooks_pb2 import Delivery, RotateWebhookResponse, Webhook
from ingest.http.views import Time, View


class WebhookView(View):
    """Where a tenant is told, and of what."""

    id: str
    tenant: str = Field(description="Whose it is.")
    url: str
    events: list[str] = Field(description="`completed`, `failed`, `cancelled`")
    runtime: str | None = Field(description="Only of its tasks; null: of all.")
    state: str = Field(description="`active`, or `ended` after an answer 410.")
    created_at: Time

    @classmethod
    def of(cls, webhook: Webhook) -> WebhookView:
        """The view of one webhook."""
        return cls(
            id=webhook.id,
            tenant=webhook.tenant,
            url=webhook.url,
            events=list(webhook.events),
            runtime=webhook.runtime or None,
            state=webhook.state,
            created_at=webhook.created_at.ToDatetime(UTC),
        )


class NewWebhookView(WebhookView):
    """A webhook that was added."""

    secret: str = Field(description="Signs its requests. It is told this once.")

    @classmethod
    def made(cls, webhook: Webhook, secret: str) -> NewWebhookView:
        """The view of a new webhook."""
        return cls(**WebhookView.of(webhook).model_dump(), secret=secret)


class WebhooksView(View):
    """The webhooks of a tenant, oldest first."""

    webhooks: list[WebhookView]

    @classmethod
    def of(cls, webhooks: Sequence[Webhook]) -> WebhooksView:
        """The view of all of them."""
        return cls(webhooks=[WebhookView.of(webhook) for webhook in webhooks])


class NewSecretView(View):
    """A secret that replaces another."""

    secret: str = Field(description="It is told this once.")
    old_until: Time = Field(description="Until then requests are signed with the old one, too.")

    @classmethod
    def of(cls, rotated: RotateWebhookResponse) -> NewSecretView:
        """The view of a new secret."""
        return cls(secret=rotated.secret, old_until=rotated.old_until.ToDatetime(UTC))


class TestView(View):
    """A test that will be sent."""

    __test__ = False  # pytest takes the name for tests

    uid: str = Field(description="Names it among the deliveries.")


class ReplayView(View):
    """What will be sent again."""

    since: Time
    until: Time | None = Field(description="Null: the moment of the request.")


class DeliveryView(View):
    """What became of one event."""

    uid: str = Field(description="The task, or the test.")
    event: str = Field(description="`task.completed`, ..., `webhook.test`")
    state: str = Field(description="`delivered`, `retrying` or `failed`")
    tries: int
    status: int | None = Field(description="Of the last answer; null if there was none.")
    error: str | None = Field(description="Why the last try failed.")
    tried_at: Time
    next_try_at: Time | None

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryView:
        """The view of one delivery."""
        again = delivery.HasField("next_try_at")
        return cls(
            uid=delivery.uid,
            event=delivery.event,
            state=delivery.state,
            tries=delivery.tries,
            status=delivery.status or None,
            error=delivery.error or None,
            tried_at=delivery.tried_at.ToDatetime(UTC),
            next_try_at=delivery.next_try_at.ToDatetime(UTC) if again else None,
        )


class DeliveriesView(View):
    """What became of the newest events of a webhook, newest first."""

    deliveries: list[DeliveryView]

    @classmethod
    def of(cls, deliveries: Sequence[Delivery]) -> DeliveriesView:
        """The view of all of them."""
        return cls(deliveries=[DeliveryView.of(delivery) for delivery in deliveries])
