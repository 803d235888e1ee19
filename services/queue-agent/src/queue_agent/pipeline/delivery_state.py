"""Where one delivery is on its way through the agent, and how it is called back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import IntEnum

from queue_agent.domain import InterruptionError, RuntimeLostError, Task
from queue_agent.pipeline.lease import RELEASE_BUDGET
from queue_agent.pipeline.slots import HEAD_START, Line, Turn


class Stage(IntEnum):
    """How far a delivery is."""

    ARRIVED = 1  # the notifier has not counted an attempt that we know of
    STAGED = 2
    RUNNING = 3  # the runtime works on it, or has


class Passage:
    """One delivery's way; made when a place for staged work has been taken for it."""

    def __init__(self, line: Line, lost: Callable[[str], None]) -> None:
        self.stage = Stage.ARRIVED
        self.task: Task | None = None
        self.told = False  # its end is committed and told
        self._line = line
        self._lost = lost
        self._deadline: asyncio.Timeout | None = None
        self._stopped = ""  # why
        self._holds_place = True
        self._holds_room = False

    @asynccontextmanager
    async def interruptible(self) -> AsyncIterator[None]:
        """Let `stop` and `lose` end the block, which then raises `InterruptionError`."""
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
        """Give it back: at once if it has not started, after `drain` if it has."""
        times = {Stage.ARRIVED: RELEASE_BUDGET, Stage.STAGED: timedelta(), Stage.RUNNING: drain}
        self._end_in(times[self.stage], "the agent stops")

    def lose(self, reason: str) -> None:
        """Give it back at once because the runtime is gone, unless the runtime had it."""
        if self.stage is not Stage.RUNNING:
            patience = timedelta() if self.stage is Stage.STAGED else RELEASE_BUDGET
            self._end_in(patience, reason)

    def begun(self, task: Task) -> None:
        """Note the attempt; raises `InterruptionError` if it is not to start any more."""
        self.task = task
        self.stage = Stage.STAGED
        if self._stopped:
            raise InterruptionError(self._stopped)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait until the runtime may be handed the run, and there is room for its outcome.

        When the run loses the runtime, `lost` is called before another has its turn.
        """
        await self._line.room.acquire()
        self._holds_room = True
        async with self._line.turn(self._at_work) as turn:
            try:
                yield turn
            except RuntimeLostError as error:
                self._lost(str(error))
                raise

    def close(self) -> None:
        """Give back every place that is still held."""
        self._leave_staging()
        if self._holds_room:
            self._holds_room = False
            self._line.room.release()

    def _at_work(self) -> None:
        self.stage = Stage.RUNNING
        if self._line.overlaps:
            later = asyncio.get_running_loop().call_later
            later(HEAD_START.total_seconds(), self._leave_staging)

    def _leave_staging(self) -> None:
        if self._holds_place:
            self._holds_place = False
            self._line.staging.release()

    def _end_in(self, patience: timedelta, reason: str) -> None:
        self._stopped = self._stopped or reason
        deadline = self._deadline
        if deadline is None or deadline.expired():
            return
        wanted = asyncio.get_running_loop().time() + patience.total_seconds()
        known = deadline.when()
        if known is None or wanted < known:
            deadline.reschedule(wanted)
