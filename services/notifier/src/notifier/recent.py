"""Counting the tasks that end, for those who watch: in memory first, then in the table."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ledger.recent import Ends, RecentEnds
from ledger.record import Record
from ledger.usage import counts_of
from servicekit.errors import AppError

log = logging.getLogger(__name__)

INTERVAL: Final = timedelta(seconds=5)
MOST: Final = 10_000  # places that are kept while the table is out of reach


@dataclass
class CountEnds:
    """Adds what was counted every few seconds, one write for each place, instead of at once."""

    recent: RecentEnds
    interval: timedelta = INTERVAL
    _ends: Ends = field(default_factory=Ends)

    def count(self, record: Record) -> None:
        """Count a task that has ended."""
        if record.finished_at is not None and len(self._ends.counts) < MOST:
            counts = counts_of(record)
            self._ends.add(record.tenant, record.runtime, record.finished_at, counts)

    async def run_until_stopped(self, stop: asyncio.Event) -> None:
        """Add at each interval and at the end; an outage is logged and waited out."""
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval.total_seconds()):
                    await stop.wait()
            await self.flush()

    async def flush(self) -> None:
        """Add what was counted; what cannot be added is kept for the next time."""
        while self._ends.counts:
            place, minutes = self._ends.counts.popitem()
            try:
                await self.recent.add(place, minutes)
            except AppError as error:
                log.warning("cannot count", exc_info=error, extra=error.details)
                self._ends.counts[place] = minutes
                return
