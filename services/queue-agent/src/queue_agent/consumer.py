"""The pull loop: when to lease, how to keep a lease, and what becomes of each message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from queue_agent.beside import beside
from queue_agent.domain import Delivery, LeaseLostError, RuntimeLostError, UnworkableError
from queue_agent.measures import Measures
from queue_agent.ports import TaskSource
from queue_agent.readiness import Readiness
from servicekit.errors import FatalError, RejectedError, TransientError

log = logging.getLogger(__name__)

Handle = Callable[[Delivery], Awaitable[None]]
QUEUE_PAUSE = timedelta(seconds=1)
RELEASE_BUDGET = timedelta(seconds=3)
LONGEST_BACKOFF_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """Takes one message at a time, and only while the runtime is ready."""

    source: TaskSource
    readiness: Readiness
    measures: Measures
    lease: timedelta
    drain: timedelta

    async def consume(self, handle: Handle, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then give a running task the time `drain` to finish.

        A task that is still running after that is cancelled and its message released at once.
        Raises the `FatalError` of a task, whose message is released, too.
        """
        while await self.readiness.wait(stop):
            try:
                # A cancelled receive can still hide a message for a whole lease: wait it out.
                delivery = await self.source.receive()
                if delivery is None:
                    continue
                if stop.is_set():
                    await self.source.release(delivery)
                else:
                    await self._within_drain(delivery, handle, stop)
            except TransientError as error:
                log.warning("queue unreachable", exc_info=error, extra=error.details)
                await asyncio.sleep(QUEUE_PAUSE.total_seconds())

    async def _within_drain(
        self, delivery: Delivery, handle: Handle, stop: asyncio.Event
    ) -> None:
        async def limit(deadline: asyncio.Timeout) -> None:
            await stop.wait()
            now = asyncio.get_running_loop().time()
            deadline.reschedule(now + self.drain.total_seconds())

        try:
            async with asyncio.timeout(None) as deadline:
                await beside(self._process(delivery, handle), limit(deadline))
        except TimeoutError:
            log.warning("drain ended with a task still running")

    async def _process(self, delivery: Delivery, handle: Handle) -> None:
        try:
            await beside(handle(delivery), self._keep(delivery))
            await self.source.settle(delivery)
        except LeaseLostError:
            log.warning("the message is somebody else's now")
            self._count("lost")
        except RuntimeLostError as error:
            await self.readiness.lost(str(error))
            await self._release(delivery, "interrupted")
        except UnworkableError as error:
            log.warning("message released: %s", error, extra=error.details)
            await self._release(delivery, "unworkable")
        except (RejectedError, TransientError) as error:
            log.warning("task will be tried again", exc_info=error, extra=error.details)
            await self._release(delivery, "retried", after=_backoff(error, delivery.receives))
        except FatalError:
            await self._release(delivery, "retried")
            raise
        except asyncio.CancelledError:
            await self._release(delivery, "interrupted")
            raise

    async def _keep(self, delivery: Delivery) -> None:
        """Extend the lease until cancelled; an outage of the queue is no reason to stop."""
        while True:
            await asyncio.sleep(self.lease.total_seconds() / 3)
            try:
                await self.source.extend(delivery, self.lease)
            except LeaseLostError:
                raise
            except TransientError as error:
                log.warning("lease not extended", exc_info=error, extra=error.details)
            else:
                self.measures.lease_extensions.add(1)

    async def _release(
        self, delivery: Delivery, outcome: str, after: timedelta = timedelta()
    ) -> None:
        """Give the message back; if that fails, the lease runs out by itself."""
        self._count(outcome)
        with suppress(TransientError, TimeoutError):
            async with asyncio.timeout(RELEASE_BUDGET.total_seconds()):
                await self.source.release(delivery, after)

    def _count(self, outcome: str) -> None:
        self.measures.tasks.add(1, {"outcome": outcome})


def _backoff(error: RejectedError | TransientError, receives: int) -> timedelta:
    asked = error.retry_after if isinstance(error, TransientError) else None
    usual = timedelta(seconds=min(2**receives, LONGEST_BACKOFF_SECONDS))
    return max(asked or timedelta(), usual)
