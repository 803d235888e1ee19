"""What the tasks of one key may take: refused before anything is recorded.

Open tasks are counted exactly. Images and money are those of tasks that have ended, so what is
open then may go beyond the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from contracts.cost import MICROS
from ledger.open_tasks import OpenTasks, Owner
from ledger.usage import Usage
from router.domain import Submission
from servicekit.errors import RejectedError

TRY_AGAIN: Final = timedelta(seconds=5)  # a task may have ended by then


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Counts what is submitted; raises `TransientError` when that cannot be done."""

    open_tasks: OpenTasks
    usage: Usage
    now: Callable[[], datetime] = _now

    async def take(self, task: Submission) -> bool:
        """Whether the task is one of those that may be open at once; it is counted then.

        Raises `RejectedError` (`quota_exceeded`) if the key may take no more.
        """
        quota = task.quota
        if quota.daily_images:
            await self._check_images(task, quota.daily_images)
        if quota.monthly_budget:
            await self._check_budget(task, quota.monthly_budget)
        if not quota.open_tasks:
            return False
        if not await self.open_tasks.take(_owner(task), task.uid, quota.open_tasks):
            raise _exceeded("open_tasks", quota.open_tasks, quota.open_tasks, None, TRY_AGAIN)
        return True

    async def give_back(self, task: Submission) -> None:
        """No longer count a task that was not accepted; safe to repeat."""
        await self.open_tasks.give_back(_owner(task), task.uid)

    async def _check_images(self, task: Submission, limit: int) -> None:
        now = self.now()
        today = now.date()
        used = await self.usage.used(today, today, tenant=task.tenant, key=task.key)
        images = sum(each.counts.images for each in used)
        if images >= limit:
            resets = datetime.combine(today + timedelta(days=1), time(), UTC)
            raise _exceeded("daily_images", limit, images, resets, resets - now)

    async def _check_budget(self, task: Submission, limit: Decimal) -> None:
        now = self.now()
        first = now.date().replace(day=1)
        used = await self.usage.used(first, now.date(), tenant=task.tenant, key=task.key)
        spent = Decimal(sum(each.counts.cost_micros for each in used)) / MICROS
        if spent >= limit:
            following = (first + timedelta(days=32)).replace(day=1)
            resets = datetime.combine(following, time(), UTC)
            raise _exceeded("monthly_budget", limit, spent, resets, resets - now)


def _owner(task: Submission) -> Owner:
    return Owner(task.tenant, task.key)


def _exceeded(
    quota: str, limit: object, used: object, resets_at: datetime | None, wait: timedelta
) -> RejectedError:
    named = quota.replace("_", " ")
    facts = {"quota": quota, "limit": str(limit), "used": str(used)}
    if resets_at is not None:
        facts["resets_at"] = resets_at.isoformat().replace("+00:00", "Z")
    ends = f"; it begins anew at {facts['resets_at']}" if resets_at else ""
    return RejectedError(
        f"this key has used up its {named}: {used} of {limit}{ends}",
        code="quota_exceeded",
        facts=facts,
        retry_after=wait,
    )
