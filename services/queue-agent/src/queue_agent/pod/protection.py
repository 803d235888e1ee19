"""Telling the cluster whether this pod is at work, so that it takes idle pods first."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from queue_agent.metrics import Metrics
from queue_agent.ports import PodApi
from servicekit.errors import RejectedError, TransientError

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class PodProtection:
    """Has the pod marked when work comes to an idle agent, and when the last has gone.

    It is advice: nothing waits for it, and work goes on when the cluster does not take it.
    """

    api: PodApi
    metrics: Metrics
    deadline: timedelta = timedelta(seconds=10)  # of one call
    pause: timedelta = timedelta(seconds=30)  # after a failed one
    linger: timedelta = timedelta(seconds=5)  # a gap between two tasks that is no idleness
    _busy: bool = field(default=False, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _failing: bool = field(default=False, init=False)

    def at_work(self, busy: bool) -> None:
        """Record whether there is work; returns at once."""
        if busy != self._busy:
            self._busy = busy
            self._changed.set()

    async def run_until_stopped(self) -> None:
        """Mark each change, beginning with what a restarted agent left, until cancelled."""
        marked: bool | None = None
        while True:
            self._changed.clear()
            if self._busy == marked:
                await self._changed.wait()
            elif marked and await self._changes_within(self.linger):
                continue
            else:
                busy = self._busy
                marked = busy if await self._mark(busy) else None
                if marked is None:
                    await self._changes_within(self.pause)

    async def _mark(self, busy: bool) -> bool:
        try:
            async with asyncio.timeout(self.deadline.total_seconds()):
                await self.api.mark(busy=busy)
        except (RejectedError, TransientError, TimeoutError) as error:
            self.metrics.mark_failures.add(1)
            if not self._failing:
                log.warning("the pod cannot be marked", exc_info=error)
            self._failing = True
            return False
        self._failing = False
        return True

    async def _changes_within(self, time: timedelta) -> bool:
        try:
            async with asyncio.timeout(time.total_seconds()):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True


def no_protection(busy: bool) -> None:
    """Do nothing: there is no cluster."""
