"""Passing progress on: the newest only, at most once a second, and never at the task's cost."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from queue_agent.domain import Progress, Task
from queue_agent.ports import Notifier
from servicekit.errors import RejectedError, TransientError

log = logging.getLogger(__name__)

INTERVAL: Final = timedelta(seconds=1)


class ProgressReporter:
    """Takes progress at any rate with `report`, and tells the notifier what is newest."""

    def __init__(
        self, notifier: Notifier, task: Task, *, interval: timedelta = INTERVAL
    ) -> None:
        self._notifier = notifier
        self._task = task
        self._interval = interval
        self._newest: Progress | None = None
        self._changed = asyncio.Event()

    def report(self, progress: Progress) -> None:
        """Note how far the run is."""
        if progress != self._newest:
            self._newest = progress
            self._changed.set()

    async def send(self) -> None:
        """Tell the notifier until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._newest:
                await self._tell(self._newest)
            await asyncio.sleep(self._interval.total_seconds())

    async def _tell(self, progress: Progress) -> None:
        uid = self._task.uid
        try:
            await self._notifier.report(uid, self._task.attempt, progress)
        except (RejectedError, TransientError):
            log.debug("progress was not taken", extra={"uid": uid})
