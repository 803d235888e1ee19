"""Ending the tasks whose messages are parked: no agent will see them again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Final

from notifier.ports import DeadLetters
from notifier.settle import Settle
from servicekit.errors import AppError

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseParked:
    """Looks into dead-letter queues; several notifiers may do so at once.

    A look hides what is parked from operators, and costs a call for each ten messages. So
    there is one only when their number is not what was seen last, and every ten minutes.
    """

    queues: Sequence[DeadLetters]
    settle: Settle
    interval: timedelta
    clock: Callable[[], float] = monotonic
    _looks: dict[str, tuple[int, float]] = field(default_factory=dict, init=False)

    async def run_until_stopped(self, stop: asyncio.Event) -> None:
        """Look at each interval until told to stop; what fails is logged and tried again."""
        while not stop.is_set():
            for queue in self.queues:
                try:
                    await self.look(queue)
                except AppError as error:
                    extra = {"queue": queue.name, **error.details}
                    log.warning("cannot look for parked tasks", exc_info=error, extra=extra)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval.total_seconds()):
                    await stop.wait()

    async def look(self, queue: DeadLetters) -> int:
        """End the open tasks that are parked there; gives how many this call ended."""
        count, now = await queue.count(), self.clock()
        before, looked_at = self._looks.get(queue.name, (0, now))
        if count == before and now - looked_at < LOOK_AGAIN.total_seconds():
            return 0
        seen = ended = 0
        async with aclosing(queue.look()) as messages:
            async for parked in messages:
                seen += 1
                ended += await self.settle.close_parked(parked.uid, parked.new)
        self._looks[queue.name] = (seen, now)
        return ended
