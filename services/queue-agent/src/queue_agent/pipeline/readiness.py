"""Whether the agent can take work, as the health probe tells it; if not, when to look again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from queue_agent.concurrency import run_with
from queue_agent.domain import (
    InterruptionError,
    RuntimeBrokenError,
    RuntimeGoneError,
    RuntimeUnwellError,
)
from queue_agent.files.body import NoRoomError, check_room
from queue_agent.ports import ImageRuntime
from servicekit.errors import AppError, FatalError, TransientError
from servicekit.health import Health

log = logging.getLogger(__name__)

HOLD: Final = timedelta(minutes=2)
"""How long what is staged stays in hand while nothing can be run."""
UNWELL: Final = timedelta(minutes=3)
"""For so long a runtime may be silent or hang until its restart is asked for."""
BROKEN_POLL: Final = timedelta(seconds=0.2)  # so that a quick restart is not missed
OUTAGE_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=15)


class _StoppedError(AppError):
    """The agent stops while it looks at the runtime."""


async def nothing_else() -> None:
    """Return: work depends on the runtime only."""


@dataclass(slots=True, kw_only=True)
class Readiness:
    """Ready means: the runtime and the notifier answer, and there is room for what is made.

    For room is looked before the first task, and again only when it has run out. After an
    outage of the platform it is waited, longer each time, and then work itself has to tell.
    """

    runtime: ImageRuntime
    health: Health
    poll: timedelta
    check_notifier: Callable[[], Awaitable[None]] = nothing_else
    check_room: Callable[[], None] = check_room
    refusal_pause: timedelta = timedelta(minutes=1)  # after AWS has refused a call
    proven: bool = False  # by work just now, so that the next `wait` need not ask
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _open: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _losses: int = field(default=0, init=False)
    _broken: str = field(default="", init=False)  # why, until the runtime is a new one
    _unwell_since: float | None = field(default=None, init=False)
    _pause: timedelta = field(default=timedelta(), init=False)
    _paused_until: float = field(default=0.0, init=False)

    @property
    def found(self) -> bool:
        """Whether all was there when it was last heard of."""
        return self._open.is_set()

    @property
    def restart_reason(self) -> str | None:
        """Why the runtime has to be started anew; None if it has not."""
        if self._broken:
            return self._broken
        since, now = self._unwell_since, asyncio.get_running_loop().time()
        if since is not None and now - since >= UNWELL.total_seconds():
            return self.health.reason
        return None

    async def wait(self, stop: asyncio.Event) -> bool:
        """Return when the agent is ready, then True, or when `stop` is set."""
        if self.proven and self.found and not stop.is_set():
            self.proven = False
            return True
        async with self._looking:
            return await self._wait(stop)

    async def _wait(self, stop: asyncio.Event) -> bool:
        while not stop.is_set():
            before = self._losses
            try:
                await run_with(self._look(), _ended(stop))
            except _StoppedError:
                return False
            except (TransientError, NoRoomError) as error:
                await self.lost(error)
            else:
                if self._losses == before:
                    await self._found()
                    return True
                continue  # something was lost while we looked
            await _pause(stop, BROKEN_POLL if self._broken else self.poll)
        return False

    async def hold(self) -> None:
        """Return when work can go on; raises `InterruptionError` if that takes too long."""
        if self.found:
            return
        try:
            async with asyncio.timeout(HOLD.total_seconds()):
                await self._open.wait()
        except TimeoutError:
            raise InterruptionError(self.health.reason or "not ready") from None

    def close(self) -> None:
        """Let no more work begin until `wait` has found all that it needs."""
        self.proven = False
        self._losses += 1
        self._open.clear()

    async def lost(self, error: AppError) -> None:
        """Report that no task can be done, and why."""
        self.close()
        reason, now = str(error), asyncio.get_running_loop().time()
        if isinstance(error, RuntimeBrokenError):
            self._broken = reason
        if not isinstance(error, RuntimeUnwellError):
            self._unwell_since = None
        elif self._unwell_since is None:
            self._unwell_since = now
        if self.health.reason != reason:
            log.warning("not ready", extra={"reason": reason})
        await self.health.not_ready(reason)

    async def outage(self, error: FatalError | TransientError) -> None:
        """Report that the platform failed a task, and leave it alone for a while."""
        now = asyncio.get_running_loop().time()
        if now >= self._paused_until:
            refused = isinstance(error, FatalError)
            first = self.refusal_pause if refused else OUTAGE_PAUSE
            longest = LONGEST_PAUSE if refused else self.refusal_pause
            self._pause = max(min(2 * self._pause, longest), first)
            self._paused_until = now + self._pause.total_seconds()
        await self.lost(error)

    def prove(self) -> None:
        """Record that a task has been done just now, from end to end."""
        self._pause = timedelta()
        self.proven = self.found

    async def _look(self) -> None:
        await self._look_at_runtime()
        rest = self._paused_until - asyncio.get_running_loop().time()
        if rest > 0:
            await asyncio.sleep(rest)
        await self.check_notifier()
        if not self.found:
            await asyncio.to_thread(self.check_room)

    async def _look_at_runtime(self) -> None:
        try:
            await self.runtime.probe()  # which may register models, and take minutes
        except RuntimeGoneError:
            self._broken = ""  # it comes back as a new one
            raise
        if self._broken:
            raise RuntimeBrokenError(self._broken)

    async def _found(self) -> None:
        self._unwell_since = None
        if self.health.reason is not None:
            log.info("ready")
            await self.health.ready()
        self._open.set()


async def _ended(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _StoppedError("the agent stops")


async def _pause(stop: asyncio.Event, length: timedelta) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(length.total_seconds()):
            await stop.wait()
