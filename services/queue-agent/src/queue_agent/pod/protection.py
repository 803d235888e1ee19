"""Telling the cluster whether this pod is at work, so that it takes idle pods first."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from queue_agent.metrics import Metrics
from queue_agent.ports import PodApi, PodMark
from servicekit.errors import RejectedError, TransientError

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class PodProtection:
    """Has the pod marked when work comes to an idle agent, and when the last has gone.

    It is advice: nothing waits for it, and work goes on when the cluster does not take it.
    Short work is not marked as lasting: a pod that is asked to end finishes it all the same.
    """

    api: PodApi
    metrics: Metrics
    deadline: timedelta = timedelta(seconds=10)  # of one call
    pause: timedelta = timedelta(seconds=30)  # after a failed one
    linger: timedelta = timedelta(seconds=5)  # a gap between two tasks that is no idleness
    lasting: timedelta = timedelta(seconds=5)  # without a gap
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
        marked: PodMark | None = None
        while True:
            self._changed.clear()
            wanted = self._wanted(marked)
            if wanted is marked:
                await self._changed.wait()
            elif marked and await self._changes_within(self._patience(wanted)):
                continue
            else:
                marked = wanted if await self._mark(wanted) else None
                if marked is None:
                    await self._changes_within(self.pause)

    async def take_away(self) -> None:
        """Mark the pod as idle, once: one that is to end is none of those that are to stay."""
        await self._mark(PodMark.IDLE)

    def _wanted(self, marked: PodMark | None) -> PodMark:
        if not self._busy:
            return PodMark.IDLE
        return PodMark.BUSY if marked in {None, PodMark.IDLE} else PodMark.LASTING

    def _patience(self, wanted: PodMark) -> timedelta:
        waits = {PodMark.IDLE: self.linger, PodMark.LASTING: self.lasting}
        return waits.get(wanted, timedelta())

    async def _mark(self, mark: PodMark) -> bool:
        try:
            async with asyncio.timeout(self.deadline.total_seconds()):
                await self.api.mark(mark)
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
