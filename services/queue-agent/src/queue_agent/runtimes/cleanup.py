"""Deleting what tasks have left at the runtime, beside everything else."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from queue_agent.domain import Leftovers
from queue_agent.ports import ImageRuntime
from servicekit.errors import RejectedError, TransientError

log = logging.getLogger(__name__)

BUDGET: Final = timedelta(seconds=30)  # of one attempt's
WAITING: Final = 1000  # attempts; of more the oldest stay at the runtime


@dataclass(slots=True, kw_only=True)
class Cleanup:
    """Has the runtime forget attempts that have ended, one at a time.

    Nothing waits for it, and what fails stays where it is: the disk of a pod goes with it.
    """

    runtime: ImageRuntime
    budget: timedelta = BUDGET
    _waiting: deque[Leftovers] = field(
        default_factory=lambda: deque(maxlen=WAITING), init=False
    )
    _came: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def later(self, leftovers: Leftovers) -> None:
        """Have an attempt that has ended cleaned up; returns at once."""
        self._waiting.append(leftovers)
        self._came.set()

    async def run_until_stopped(self) -> None:
        """Clean up until cancelled."""
        while True:
            while self._waiting:
                await self._forget(self._waiting.popleft())
            self._came.clear()
            await self._came.wait()

    async def _forget(self, leftovers: Leftovers) -> None:
        try:
            async with asyncio.timeout(self.budget.total_seconds()):
                await self.runtime.forget(leftovers)
        except (RejectedError, TransientError, TimeoutError) as error:
            about = {"uid": leftovers.uid, "attempt": leftovers.attempt}
            log.warning("a task's images stay at the runtime", exc_info=error, extra=about)
