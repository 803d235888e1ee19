"""How much of their quotas keys have used, for operators."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ledger.open_tasks import OpenTasks, Owner
from ledger.usage import Usage
from router.domain import Reader
from servicekit.errors import RejectedError

AT_ONCE: Final = 8  # reads of the open tasks of keys


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What the tasks of one key have used."""

    open_tasks: int
    images: int  # today
    cost_micros: int  # in this month


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaUse:
    """Reads the counters that quotas are checked by; raises `TransientError`."""

    open_tasks: OpenTasks
    usage: Usage
    now: Callable[[], datetime] = _now

    async def __call__(self, reader: Reader, keys: Sequence[Owner]) -> list[Use]:
        """One for each key; raises `RejectedError` (`forbidden`) unless an operator asks."""
        if not reader.all_tenants:
            raise RejectedError("keys are for operators", code="forbidden")
        today = self.now().date()
        used = await self.usage.used(today.replace(day=1), today)
        room = asyncio.Semaphore(AT_ONCE)

        async def opened(key: Owner) -> int:
            async with room:
                return len(await self.open_tasks.of(key))

        async with asyncio.TaskGroup() as group:
            counts = [group.create_task(opened(key), name="open-tasks") for key in keys]
        return [
            Use(
                open_tasks=count.result(),
                images=sum(
                    each.counts.images
                    for each in used
                    if (each.tenant, each.key) == (key.tenant, key.key) and each.day == today
                ),
                cost_micros=sum(
                    each.counts.cost_micros
                    for each in used
                    if (each.tenant, each.key) == (key.tenant, key.key)
                ),
            )
            for key, count in zip(keys, counts, strict=True)
        ]
