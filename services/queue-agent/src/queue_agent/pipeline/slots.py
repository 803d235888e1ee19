"""How many deliveries may be where at once, and whose turn it is at the runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

HEAD_START: Final = timedelta(milliseconds=10)
"""How long all else waits when a run begins: its request goes out before AWS is called."""
OUTCOMES: Final = 3


class RuntimeSlot:
    """One run's time at the runtime: handed over, then at work, then done with it."""

    def __init__(
        self,
        on_start: Callable[[], None],
        on_done: Callable[[], None],
        on_release: Callable[[], None],
        seconds_since: Callable[[float], float],
    ) -> None:
        self.started = asyncio.Event()
        self.seconds = 0.0  # at work; 0 until it is done
        self._on_start = on_start
        self._on_done = on_done
        self._on_release = on_release
        self._seconds_since = seconds_since
        self._start = 0.0
        self._released = False

    def start(self) -> None:
        """Begin to count: the runtime works on this run now. Safe to repeat."""
        if not self.started.is_set():
            self._start = asyncio.get_running_loop().time()
            self.started.set()
            self._on_start()

    async def release_early(self) -> None:
        """Let the next run begin, with a head start: the runtime has done its part."""
        self._on_done()
        self.release()
        await asyncio.sleep(HEAD_START.total_seconds())

    def release(self) -> None:
        """Let the next run begin. Safe to repeat."""
        if not self._released:
            self._released = True
            if self.started.is_set():
                self.seconds = self._seconds_since(self._start)
            self._on_release()


class Slots:
    """The bounds of the pipeline.

    `depth` deliveries wait with everything prepared, `width` are handed to the runtime, of
    which it works on one, and `depth` + 3 outcomes are being uploaded: a delivery takes some
    round trips to AWS one after another. With a depth of 0 there is one at a time in all.
    """

    def __init__(self, depth: int, width: int = 1) -> None:
        self.overlaps = depth > 0
        width = width if depth else 1
        self.staging = asyncio.Semaphore(max(depth, 1))
        self.outcomes = asyncio.Semaphore(width + depth + OUTCOMES)
        self._runtime = asyncio.Semaphore(width)
        self._last_end = 0.0

    @asynccontextmanager
    async def runtime_slot(
        self, on_start: Callable[[], None], on_done: Callable[[], None]
    ) -> AsyncIterator[RuntimeSlot]:
        """Wait until the runtime may be handed a run; whoever asks first is served first.

        `on_start` is called when the runtime works on it, `on_done` when that has ended well.
        """
        await self._runtime.acquire()
        slot = RuntimeSlot(on_start, on_done, self._runtime.release, self._seconds_since)
        try:
            yield slot
        finally:
            slot.release()

    def _seconds_since(self, start: float) -> float:
        """The time of a run that ends now: a runtime may tell it after the next one's begin."""
        begin, self._last_end = max(start, self._last_end), asyncio.get_running_loop().time()
        return self._last_end - begin
