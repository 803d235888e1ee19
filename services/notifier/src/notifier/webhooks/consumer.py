"""The loop that takes messages of webhooks from their queue: never more than fit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from notifier.webhooks.ports import Jobs, Received
from servicekit.errors import AppError

log = logging.getLogger(__name__)
DRAIN: Final = timedelta(seconds=10)
PAUSE: Final = timedelta(seconds=5)  # after the queue could not be read
BATCH: Final = 10  # the most that one receive gives


@dataclass(slots=True, kw_only=True)
class Consumer:
    """Has up to `most` messages in hand at a time, each for one request at the longest."""

    jobs: Jobs
    deliver: Callable[[Received], Awaitable[None]]
    most: int
    _present: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _room: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run_until_stopped(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop; what is in hand then may end, or comes again later."""
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                await self._wait_for_room()
                try:
                    received = await self.jobs.receive(
                        min(self.most - len(self._present), BATCH)
                    )
                except AppError as error:
                    log.warning("cannot read webhooks", exc_info=error, extra=error.details)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PAUSE.total_seconds()):
                            await stop.wait()
                    continue
                for one in received:
                    task = group.create_task(self._own(one), name=f"webhook-{one.receipt[:12]}")
                    self._present.add(task)
                    task.add_done_callback(self._forget)
            if self._present:
                await asyncio.wait(self._present, timeout=DRAIN.total_seconds())
            for task in self._present:
                task.cancel()

    async def _wait_for_room(self) -> None:
        while len(self._present) >= self.most:
            self._room.clear()
            await self._room.wait()

    async def _own(self, received: Received) -> None:
        try:
            await self.deliver(received)
        except AppError as error:
            # Nothing was settled, so the queue hands it over again.
            log.warning("webhook not delivered", exc_info=error, extra=error.details)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._present.discard(task)
        self._room.set()
