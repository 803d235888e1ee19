"""What webhooks need from the outside world, besides the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from contracts.ids import Uid
from notifier.webhooks.domain import Delivery, Job, Webhook

Webhooks = tuple[Webhook, ...]


class Store(Protocol):
    """The webhooks of tenants and their deliveries. Every method raises `TransientError`."""

    async def tenants(self) -> frozenset[str]:
        """Who has webhooks; may lag a moment."""
        ...

    async def of(self, tenant: str) -> Webhooks:
        """A tenant's webhooks as of now, oldest first."""
        ...

    async def change(self, tenant: str, change: Callable[[Webhooks], Webhooks]) -> None:
        """Keep what `change` makes of a tenant's webhooks; it may be called more than once."""
        ...

    async def keep(self, delivery: Delivery) -> None:
        """Keep what became of an event, for a week, instead of what was known of it."""
        ...

    async def delivery(self, webhook: str, uid: Uid, *, own_url: bool) -> Delivery | None:
        """What became of one event as of now, told to the webhook or to the task's own URL."""
        ...

    async def deliveries(self, webhook: str, limit: int) -> Sequence[Delivery]:
        """What became of the newest events; may lag a moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One hand-over of one message."""

    body: str
    receipt: str
    receives: int  # this time included


class Jobs(Protocol):
    """What is to be sent. Every method raises `TransientError`, or `FatalError` if refused."""

    async def send(self, jobs: Sequence[Job]) -> None:
        """Queue jobs; if it raises, some may be queued."""
        ...

    async def receive(self, most: int) -> Sequence[Received]:
        """Up to ten messages, and up to `most`; waits for a first one for a while."""
        ...

    async def release(self, received: Received, after: timedelta) -> None:
        """Have a message come again after that time, or sooner if it is very long."""
        ...

    async def settle(self, received: Received) -> None:
        """Have a message come no more."""
        ...

    async def park(self, received: Received, reason: str) -> None:
        """Move a message to the dead letters."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a request."""

    status: int = 0  # 0: there was no answer
    error: str = ""  # why there was none


class Sender(Protocol):
    """Sends requests to strangers."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send one request; never raises, and ends within its time limit."""
        ...
