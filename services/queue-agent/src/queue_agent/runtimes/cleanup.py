"""Deleting what tasks have left at the runtime, beside everything else."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from queue_agent.domain import Remains
from queue_agent.ports import ImageRuntime
from servicekit.errors import RejectedError, TransientError

log = logging.getLogger(__name__)

BUDGET: Final = timedelta(seconds=30)  # of one attempt's
WAITING: Final = 1000  # attempts; of more the oldest stay at the runtime


@dataclass(slots=True, kw_only=True)
class Tidier:
    """Has the runtime forget attempts that have ended, one at a time.

    Nothing waits for it, and what fails stays where it is: the disk of a pod goes with it.
    """

    runtime: ImageRuntime
    budget: timedelta = BUDGET
    _waiting: deque[Remains] = field(default_factory=lambda: deque(maxlen=WAITING), init=False)
    _came: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def later(self, remains: Remains) -> None:
        """Note an attempt that has ended; returns at once."""
        self._waiting.append(remains)
        self._came.set()

    async def keep(self) -> None:
        """Tidy up until cancelled."""
        while True:
            while self._waiting:
                await self._forget(self._waiting.popleft())
            self._came.clear()
            await self._came.wait()

    async def _forget(self, remains: Remains) -> None:
        try:
            async with asyncio.timeout(self.budget.total_seconds()):
                await self.runtime.forget(remains)
        except (RejectedError, TransientError, TimeoutError) as error:
            about = {"uid": remains.uid, "attempt": remains.attempt}
            log.warning("a task's images stay at the runtime", exc_info=error, extra=about)
