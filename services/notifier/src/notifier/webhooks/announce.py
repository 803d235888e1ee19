"""Queueing the end of a task for the webhooks that want to be told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from ledger.record import Record
from notifier.webhooks.domain import EventJob, Webhook
from notifier.webhooks.ports import Jobs, Store, Webhooks


@dataclass(slots=True)
class _Known:
    """What was read of webhooks, all of it at about the same time."""

    until: float
    tenants: frozenset[str]
    webhooks: dict[str, Webhooks] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Announce:
    """Reads webhooks again after `fresh`: a task of a tenant without any costs no call."""

    store: Store
    jobs: Jobs
    fresh: timedelta
    clock: Callable[[], float] = monotonic
    _known: _Known | None = field(default=None, init=False)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def announce(self, record: Record) -> None:
        """Queue a message for each URL; raises `TransientError`, then ask again."""
        webhooks = await self._of(record.tenant)
        wanted = [
            EventJob(tenant=record.tenant, webhook=webhook.id, uid=record.uid)
            for webhook in webhooks
            if webhook.wants(record)
        ]
        if own := _signer(webhooks, record.callback_url):
            wanted.append(
                EventJob(tenant=record.tenant, webhook=own.id, uid=record.uid, own_url=True)
            )
        if wanted:
            await self.jobs.send(wanted)

    async def _of(self, tenant: str) -> Webhooks:
        async with self._reading:
            known = self._known
            if known is None or self.clock() >= known.until:
                tenants = await self.store.tenants()
                known = _Known(self.clock() + self.fresh.total_seconds(), tenants)
                self._known = known
            if tenant not in known.tenants:
                return ()
            if tenant not in known.webhooks:
                known.webhooks[tenant] = await self.store.of(tenant)
            return known.webhooks[tenant]


def _signer(webhooks: Webhooks, url: str) -> Webhook | None:
    """The webhook with whose secret a task's own URL is told; None if there is none now."""
    return next((one for one in webhooks if one.covers(url)), None) if url else None
