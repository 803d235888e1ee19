"""In-memory stand-ins for what webhooks need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from notifier_fakes import NOW

from contracts.ids import Uid
from notifier.webhooks.domain import Delivery, Job, Retries, Secret, Webhook, new_secret
from notifier.webhooks.ports import Answer, Received, Webhooks
from servicekit.errors import TransientError

SECRET = new_secret()
WEBHOOK = Webhook(
    id="wh_01JD0000000000000000000000",
    tenant="studio",
    url="https://studio.example.com:443/in?token=t",
    events=("completed", "failed"),
    secrets=(Secret(text=SECRET),),
    created_at=NOW,
)
USUAL = Retries(first=timedelta(seconds=5), longest=timedelta(hours=24), tries=12)


@dataclass
class FakeStore:
    """Keeps everything, and counts what it is asked."""

    kept: dict[str, Webhooks] = field(default_factory=dict)
    became: dict[tuple[str, Uid, bool], Delivery] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def tenants(self) -> frozenset[str]:
        self.asked.append("tenants")
        return frozenset(tenant for tenant, webhooks in self.kept.items() if webhooks)

    async def of(self, tenant: str) -> Webhooks:
        self.asked.append(tenant)
        return self.kept.get(tenant, ())

    async def change(self, tenant: str, change: Callable[[Webhooks], Webhooks]) -> None:
        self.kept[tenant] = change(self.kept.get(tenant, ()))

    async def keep(self, delivery: Delivery) -> None:
        self.became[delivery.webhook, delivery.uid, delivery.own_url] = delivery

    async def delivery(self, webhook: str, uid: Uid, *, own_url: bool) -> Delivery | None:
        return self.became.get((webhook, uid, own_url))

    async def deliveries(self, webhook: str, limit: int) -> Sequence[Delivery]:
        found = [each for (whose, *_), each in self.became.items() if whose == webhook]
        return sorted(found, key=lambda each: each.uid, reverse=True)[:limit]


@dataclass
class FakeJobs:
    """Keeps what was sent, and what became of each message."""

    sent: list[Job] = field(default_factory=list)
    down: bool = False
    ready: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)
    released: list[tuple[str, timedelta]] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    parked: list[tuple[str, str]] = field(default_factory=list)
    parked_bodies: list[str] = field(default_factory=list)

    async def send(self, jobs: Sequence[Job]) -> None:
        if self.down:
            raise TransientError("SQS is down")
        self.sent += jobs

    async def receive(self, most: int) -> Sequence[Received]:
        found = [await self.ready.get()]
        while len(found) < most and not self.ready.empty():
            found.append(self.ready.get_nowait())
        return found

    async def release(self, received: Received, after: timedelta) -> None:
        self.released.append((received.receipt, after))

    async def settle(self, received: Received) -> None:
        self.settled.append(received.receipt)

    async def park(self, received: Received, reason: str) -> None:
        if self.down:
            raise TransientError("SQS is down")
        self.parked.append((received.receipt, reason))
        self.parked_bodies.append(received.body)
        await self.settle(received)


@dataclass
class FakeSender:
    """Answers what it is told to, and keeps what was posted."""

    answer: Answer = field(default_factory=lambda: Answer(status=200))
    posted: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        self.posted.append((url, headers, body))
        return self.answer


def webhooks(*added: Webhook) -> dict[str, Webhooks]:
    """What a store keeps of these."""
    tenants = {one.tenant for one in added}
    return {t: tuple(one for one in added if one.tenant == t) for t in tenants}
