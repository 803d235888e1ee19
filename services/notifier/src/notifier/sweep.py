"""What a crash has left: callbacks that nobody has sent, ended tasks that count as open."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from contracts.ids import made_at
from ledger.open_tasks import OpenTasks
from ledger.port import Ledger
from notifier.settle import Settle
from servicekit.errors import TransientError

log = logging.getLogger(__name__)

BATCH: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Looks for what was left long ago; several notifiers may do so at once."""

    ledger: Ledger
    open_tasks: OpenTasks
    settle: Settle
    interval: timedelta
    age: timedelta  # what is younger is still being sent, or recorded

    async def run_until_stopped(self, stop: asyncio.Event) -> None:
        """Sweep at each interval until told to stop; an outage is logged and waited out."""
        while not stop.is_set():
            try:
                await self.once()
                await self.make_room()
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

    async def make_room(self) -> int:
        """No longer count as open what has ended, or was never recorded; gives how many.

        Raises `TransientError`.
        """
        before = self.settle.now() - self.age
        given_back = 0
        for owner in await self.open_tasks.owners():
            held = [u for u in await self.open_tasks.of(owner) if made_at(u) < before]
            is_open = {
                record.uid for record in await self.ledger.many(held) if not record.terminal
            }
            for uid in held:
                if uid not in is_open:
                    await self.open_tasks.give_back(owner, uid)
                    given_back += 1
        return given_back
