"""Whether the runtime can take work, as the health probe tells it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from queue_agent.concurrency import run_with
from queue_agent.domain import RuntimeLostError
from queue_agent.files.body import NoRoomError, check_room
from queue_agent.ports import ImageRuntime
from servicekit.errors import AppError
from servicekit.health import Health

log = logging.getLogger(__name__)


class _StoppedError(AppError):
    """The agent stops while it looks at the runtime."""


@dataclass(slots=True, kw_only=True)
class Readiness:
    """Ready means: the runtime answers, and there is room for what it makes.

    For room is looked before the first task, and again only when it has run out.
    """

    runtime: ImageRuntime
    health: Health
    poll: timedelta
    check_room: Callable[[], None] = check_room
    proven: bool = False  # by work just now, so that the next `wait` need not ask

    @property
    def found(self) -> bool:
        """Whether the runtime was there when it was last heard of."""
        return self.health.reason is None

    async def wait(self, stop: asyncio.Event) -> bool:
        """Return when the agent is ready, then True, or when `stop` is set."""
        if self.proven and self.found and not stop.is_set():
            self.proven = False
            return True
        while not stop.is_set():
            try:
                await run_with(self._look(), _ended(stop))
            except _StoppedError:
                return False
            except (RuntimeLostError, NoRoomError) as error:
                await self.lost(str(error))
            else:
                await self._found()
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll.total_seconds()):
                    await stop.wait()
        return False

    async def _look(self) -> None:
        await self.runtime.probe()  # which may register models, and take minutes
        if not self.found:
            await asyncio.to_thread(self.check_room)

    async def lost(self, reason: str) -> None:
        """Report that no task can be done."""
        if self.health.reason != reason:
            log.warning("not ready", extra={"reason": reason})
        self.proven = False
        await self.health.not_ready(reason)

    async def _found(self) -> None:
        if self.health.reason is not None:
            log.info("ready")
            await self.health.ready()


async def _ended(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _StoppedError("the agent stops")
