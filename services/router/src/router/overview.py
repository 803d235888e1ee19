"""How each runtime does: its queue, its last hour, and today."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.runtimes import WEBHOOKS, Runtime
from ledger.port import Ledger
from ledger.recent import EVERYBODY, RecentEnds
from ledger.usage import Counts, Usage
from router.domain import Depth, Reader
from router.ports import Queues
from servicekit.errors import AppError

log = logging.getLogger(__name__)

PATIENCE: Final = timedelta(seconds=2)  # with the queue of one runtime
LOOKED_THROUGH: Final = 1000  # tasks, for the one that waits longest
FRESH: Final = timedelta(seconds=15)  # how late the sums of today may be


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOverview:
    """How one runtime does; None is what the reader may not know, or nobody knows."""

    runtime: Runtime
    depth: Depth | None
    oldest_wait: timedelta | None  # at least
    last_hour: tuple[Counts, ...]  # minute by minute, oldest first
    today: Counts
    currency: str


@dataclass(slots=True, kw_only=True)
class Today:
    """What was used today, which is summed up again only after a while."""

    usage: Usage
    fresh: timedelta = FRESH
    _kept: dict[str, tuple[datetime, dict[str, tuple[Counts, str]]]] = field(
        default_factory=dict
    )

    async def of(self, tenant: str, now: datetime) -> Mapping[str, tuple[Counts, str]]:
        """Counts and currency by runtime, of one tenant or of `EVERYBODY`."""
        at, sums = self._kept.get(tenant, (now - 2 * self.fresh, {}))
        if now - at >= self.fresh or at.date() != now.date():
            sums = {}
            for used in await self.usage.used(now.date(), now.date(), tenant=tenant):
                counts, currency = sums.get(used.runtime, (Counts(), ""))
                sums[used.runtime] = counts + used.counts, currency or used.currency
            self._forget(now)
            self._kept[tenant] = now, sums
        return sums

    def _forget(self, now: datetime) -> None:
        old = [name for name, (at, _) in self._kept.items() if now - at >= self.fresh]
        for name in old:
            del self._kept[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Tells how the runtimes do; raises `TransientError` if the ledger cannot be reached."""

    runtimes: Sequence[Runtime]
    ledger: Ledger
    recent: RecentEnds
    today: Today
    queues: Queues
    now: Callable[[], datetime] = _now

    async def __call__(self, reader: Reader) -> tuple[RuntimeOverview, ...]:
        """Each runtime as the reader may know it: queues are for operators only."""
        now, names = self.now(), [runtime.name for runtime in self.runtimes]
        tenant = EVERYBODY if reader.all_tenants else reader.tenant
        async with asyncio.TaskGroup() as group:
            recent = group.create_task(self.recent.last_hour(tenant, names, now), name="hour")
            today = group.create_task(self.today.of(tenant, now), name="today")
            asked = [
                group.create_task(self._queue(name, now), name=f"queue-{name}")
                for name in (names if reader.all_tenants else ())
            ]
        queues = [task.result() for task in asked] or [(None, None)] * len(names)
        return tuple(
            RuntimeOverview(
                runtime=runtime,
                depth=depth,
                oldest_wait=wait,
                last_hour=recent.result()[runtime.name],
                today=today.result().get(runtime.name, (Counts(), ""))[0],
                currency=today.result().get(runtime.name, (Counts(), ""))[1],
            )
            for runtime, (depth, wait) in zip(self.runtimes, queues, strict=True)
        )

    async def webhook_dead_letters(self, reader: Reader) -> int | None:
        """Messages that no webhook took; None if unknown, or none of the reader's business."""
        depth = await self._depth(WEBHOOKS) if reader.all_tenants else None
        return None if depth is None else depth.dead_letters

    async def _queue(
        self, runtime: str, now: datetime
    ) -> tuple[Depth | None, timedelta | None]:
        depth = await self._depth(runtime)
        if depth is None or not depth.queued:
            return depth, None
        among = min(depth.queued + depth.running, LOOKED_THROUGH)
        since = await self.ledger.waiting_since(runtime, among)
        return depth, None if since is None else max(now - since, timedelta())

    async def _depth(self, name: str) -> Depth | None:
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                return await self.queues.depth(name)
        except (AppError, TimeoutError) as error:
            log.warning("cannot ask a queue", exc_info=error, extra={"queue": name})
            return None
