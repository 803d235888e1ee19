"""Sending the callbacks that nobody has sent: their notifier died after the commit."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ledger.port import Ledger
from notifier.settle import Settle
from servicekit.errors import TransientError

log = logging.getLogger(__name__)

BATCH: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Looks for callbacks that are due for long; several notifiers may do so at once."""

    ledger: Ledger
    settle: Settle
    interval: timedelta
    age: timedelta  # a younger one is still being sent

    async def run_until_stopped(self, stop: asyncio.Event) -> None:
        """Sweep at each interval until told to stop; an outage is logged and waited out."""
        while not stop.is_set():
            try:
                await self.once()
            except TransientError as error:
                log.warning("cannot sweep", exc_info=error, extra=error.details)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval.total_seconds()):
                    await stop.wait()

    async def once(self) -> int:
        """Send what is due for longer than `age`; gives how many were sent.

        Raises `TransientError`; what is left then is due again after `age`.
        """
        now = self.settle.now()
        sent = 0
        for uid in await self.ledger.overdue(now - self.age, BATCH):
            record = await self.ledger.take_overdue(uid, now - self.age, now)
            if record is not None:
                await self.settle.send_callback(record)
                sent += 1
        return sent
