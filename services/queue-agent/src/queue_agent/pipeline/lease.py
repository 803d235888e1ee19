"""One message in our hands, from its receive to the one way in which it leaves them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from queue_agent.domain import Delivery, LeaseLostError
from queue_agent.metrics import Metrics
from queue_agent.ports import TaskSource
from servicekit.errors import FatalError, TransientError

log = logging.getLogger(__name__)

RELEASE_BUDGET: Final = timedelta(seconds=3)


class Lease:
    """Keeps a message ours, and lets it go once: the second `settle` or `release` does nothing.

    A call that fails is not repeated: then the lease runs out by itself, and a task that was
    finished is found finished.
    """

    def __init__(
        self, source: TaskSource, delivery: Delivery, length: timedelta, metrics: Metrics
    ) -> None:
        self.delivery = delivery
        self._source = source
        self._length = length
        self._metrics = metrics
        self._ours_until = asyncio.get_running_loop().time() + length.total_seconds()
        self._over = False

    async def extend_until_cancelled(self, at_work: Callable[[], bool]) -> None:
        """Extend until cancelled; an outage of the queue is no reason to stop work.

        Raises `LeaseLostError` when the message is somebody else's, or when the lease has run
        out before the work began.
        """
        loop, seconds = asyncio.get_running_loop(), self._length.total_seconds()
        while True:
            await asyncio.sleep(seconds / 3)
            asked = loop.time()
            try:
                await self._source.extend(self.delivery, self._length)
            except LeaseLostError:
                raise
            except (TransientError, FatalError) as error:
                log.warning("lease not extended", exc_info=error, extra=error.details)
                if loop.time() >= self._ours_until and not at_work():
                    raise LeaseLostError("the lease has run out") from error
            else:
                self._ours_until = asked + seconds
                self._metrics.lease_extensions.add(1)

    async def settle(self) -> None:
        """Remove the message for good."""
        if self._end():
            try:
                await self._source.settle(self.delivery)
            except (TransientError, FatalError) as error:
                log.warning("message not deleted", exc_info=error, extra=error.details)

    async def release(self, after: timedelta = timedelta()) -> None:
        """Return the message to the queue, to be seen again after `after`."""
        if self._end():
            with suppress(TransientError, FatalError, TimeoutError):
                async with asyncio.timeout(RELEASE_BUDGET.total_seconds()):
                    await self._source.release(self.delivery, after)

    def _end(self) -> bool:
        first, self._over = not self._over, True
        return first
