"""Where one delivery is on its way through the agent, and how it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import IntEnum

from queue_agent.domain import (
    InterruptionError,
    RuntimeBrokenError,
    RuntimeHangsError,
    RuntimeLostError,
    Task,
)
from queue_agent.pipeline.account import Account
from queue_agent.pipeline.lease import RELEASE_BUDGET
from queue_agent.pipeline.slots import HEAD_START, RuntimeSlot, Slots
from queue_agent.ports import no_one_asks


class Stage(IntEnum):
    """How far a delivery is."""

    ARRIVED = 1  # the notifier has not counted an attempt that we know of
    STAGED = 2  # also while it waits in a runtime's own queue
    RUNNING = 3  # the runtime works on it: whatever happens to the runtime may be its doing
    DONE = 4  # the runtime has no more to do with it, but results are to be stored


async def always_ready() -> None:
    """Return: nothing can be lost."""


class DeliveryState:
    """The stage and the places of one delivery, made when a place for staged work is taken."""

    def __init__(
        self,
        slots: Slots,
        lost: Callable[[RuntimeLostError], None],
        hold: Callable[[], Awaitable[None]] = always_ready,
        account: Account | None = None,
    ) -> None:
        self.stage = Stage.ARRIVED
        self.task: Task | None = None
        self.callback_sent = False
        self._account = account or Account()
        self.cost = self._account.charge(0)  # of its runs that have ended
        self._slots = slots
        self._lost = lost
        self._hold = hold
        self._deadline: asyncio.Timeout | None = None
        self._stopped = ""  # why
        self._holds_staging = True
        self._holds_outcome = False

    @asynccontextmanager
    async def interruptible(self) -> AsyncIterator[None]:
        """Let `stop` end the block, which then raises `InterruptionError`."""
        if self._stopped:
            raise InterruptionError(self._stopped)
        try:
            async with asyncio.timeout(None) as deadline:
                self._deadline = deadline
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            raise InterruptionError(self._stopped) from None
        finally:
            self._deadline = None

    def stop(self, drain: timedelta) -> None:
        """Interrupt it: at once if it has not started, after `drain` if it has."""
        times = {Stage.ARRIVED: RELEASE_BUDGET, Stage.STAGED: timedelta()}
        self._end_in(times.get(self.stage, drain), "the agent stops")

    def mark_staged(self, task: Task) -> None:
        """Record the attempt; raises `InterruptionError` if it is not to start any more."""
        self.task = task
        self.stage = Stage.STAGED
        if self._stopped:
            raise InterruptionError(self._stopped)

    def mark_callback_sent(self) -> None:
        """Record that the task's end is committed and told: no release is told any more."""
        self.callback_sent = True

    async def runtime_ready(self) -> None:
        """Return when runs can be begun; raises `InterruptionError` if that takes too long."""
        await self._hold()

    def lose(self, error: RuntimeLostError) -> None:
        """Let no run begin until the runtime is back.

        Raises the error again unless the runtime only had it in its queue: then it may wait.
        """
        self._lost(error)
        if self.stage is not Stage.STAGED or isinstance(error, RuntimeBrokenError):
            raise error

    def doubt_runtime(self) -> None:
        """Let no run begin before the runtime was looked at: it may go on with the last one."""
        self._lost(RuntimeHangsError("a run has not ended in its time"))

    @asynccontextmanager
    async def runtime_slot(
        self, on_start: Callable[[], None] = no_one_asks
    ) -> AsyncIterator[RuntimeSlot]:
        """Wait until the runtime may be handed the run, and its outcome may be uploaded.

        `on_start` is called when the runtime begins with it. When the run loses the runtime,
        nothing is handed to it before it is found again.
        """
        if not self._holds_outcome:
            await self._slots.outcomes.acquire()
            self._holds_outcome = True

        def started() -> None:
            self._mark_running()
            on_start()

        async with self._slots.runtime_slot(started, self._mark_done) as slot:
            await self._hold()
            try:
                yield slot
            except RuntimeLostError as error:
                self._lost(error)  # before another has its turn
                raise
            finally:
                slot.release()
                self.cost += self._account.charge(slot.seconds)

    def close(self) -> None:
        """Release every place that is still held."""
        self._release_staging()
        if self._holds_outcome:
            self._holds_outcome = False
            self._slots.outcomes.release()

    def _mark_running(self) -> None:
        self.stage = Stage.RUNNING
        if self._slots.overlaps:
            later = asyncio.get_running_loop().call_later
            later(HEAD_START.total_seconds(), self._release_staging)

    def _mark_done(self) -> None:
        self.stage = Stage.DONE

    def _release_staging(self) -> None:
        if self._holds_staging:
            self._holds_staging = False
            self._slots.staging.release()

    def _end_in(self, patience: timedelta, reason: str) -> None:
        self._stopped = self._stopped or reason
        deadline = self._deadline
        if deadline is None or deadline.expired():
            return
        wanted = asyncio.get_running_loop().time() + patience.total_seconds()
        known = deadline.when()
        if known is None or wanted < known:
            deadline.reschedule(wanted)
