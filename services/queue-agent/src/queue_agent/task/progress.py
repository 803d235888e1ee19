"""Reporting start and progress at no cost to the task, and hearing of a cancel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from contracts.state import Progress
from queue_agent.domain import CancelledByClientError, Task
from queue_agent.pipeline.slots import HEAD_START
from queue_agent.ports import Notifier
from servicekit.errors import RejectedError, TransientError

log = logging.getLogger(__name__)

INTERVAL: Final = timedelta(seconds=1)


class ProgressReporter:
    """Takes progress at any rate with `report`, and sends the notifier what is newest."""

    def __init__(
        self,
        notifier: Notifier,
        task: Task,
        now: Callable[[], datetime],
        *,
        interval: timedelta = INTERVAL,
    ) -> None:
        self.started_at: datetime | None = None
        self._notifier = notifier
        self._task = task
        self._now = now
        self._interval = interval
        self._start_told = False
        self._newest: Progress | None = None
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Remember that the runtime begins with the run now."""
        self.started_at = self._now()
        self._changed.set()

    def report(self, progress: Progress) -> None:
        """Remember how far the run is."""
        if progress != self._newest:
            self._newest = progress
            self._changed.set()

    async def send(self) -> None:
        """Send the notifier news at once, and that there is none once in an interval.

        Goes on until cancelled. Raises `CancelledByClientError` when the client took the task
        back.
        """
        seconds = self._interval.total_seconds()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            starts = self.started_at is not None and not self._start_told
            news = None
            if starts:
                await asyncio.sleep(HEAD_START.total_seconds())
            elif self._changed.is_set():
                news = self._newest
                self._changed.clear()
            if await self._send(news):
                raise CancelledByClientError("the client took the task back")
            if starts or news:  # so that who watches the task sees one after the other
                await asyncio.sleep(seconds)

    async def _send(self, progress: Progress | None) -> bool:
        uid = self._task.uid
        started_at = None if self._start_told else self.started_at
        try:
            cancelled = await self._notifier.report(
                uid, self._task.attempt, progress, started_at
            )
        except (RejectedError, TransientError):
            log.debug("progress was not taken", extra={"uid": uid})
            return False
        self._start_told = self._start_told or started_at is not None
        return cancelled
