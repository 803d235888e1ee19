"""Whether the runtime can take work, told to the world."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from queue_agent.domain import RuntimeLostError
from queue_agent.ports import ImageRuntime
from servicekit.health import Health

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Readiness:
    """Ready means: the runtime answers."""

    runtime: ImageRuntime
    health: Health
    poll: timedelta
    proven: bool = False  # by work just now, so that the next `wait` need not ask

    @property
    def found(self) -> bool:
        """Tell whether the runtime was there when it was last heard of."""
        return self.health.reason is None

    async def wait(self, stop: asyncio.Event) -> bool:
        """Return when the runtime is ready, then True, or when `stop` is set."""
        if self.proven and self.found and not stop.is_set():
            self.proven = False
            return True
        while not stop.is_set():
            try:
                await self.runtime.probe()
            except RuntimeLostError as error:
                await self.lost(str(error))
            else:
                if not stop.is_set():
                    await self._found()
                    return True
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll.total_seconds()):
                    await stop.wait()
        return False

    async def lost(self, reason: str) -> None:
        """Tell that the runtime is not ready."""
        if self.health.reason is None:
            log.warning("the runtime is lost", extra={"reason": reason})
        self.proven = False
        await self.health.not_ready(reason)

    async def _found(self) -> None:
        if self.health.reason is not None:
            log.info("the runtime is ready")
            await self.health.ready()
