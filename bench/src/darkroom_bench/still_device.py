"""The device of a stand-in runtime, which only waits, and when it did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class Device:
    """Works on one task at a time, for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self.spans: list[tuple[float, float]] = []
        self._ends: dict[str, float] = {}  # that nobody has been told of
        self._late: list[float] = []

    @property
    def is_busy(self) -> bool:
        """Whether it works."""
        return self._lock.locked()

    async def work(self) -> None:
        """Return when a task is done that waited for those before it."""
        async with self.turn():
            await self.draw()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have the device for a task, when those before it are done."""
        async with self._lock:
            start = time.monotonic()
            yield
            self.spans.append((start, time.monotonic()))

    async def draw(self) -> None:
        """Take the time of an image."""
        await asyncio.sleep(self._seconds)

    def end(self, name: str) -> None:
        """Note that what `name` asked for can be known to be done from now on."""
        self._ends[name] = time.monotonic()

    def noticed(self, name: str) -> None:
        """Note that somebody has been told of it."""
        if ended := self._ends.pop(name, None):
            self._late.append(time.monotonic() - ended)

    async def tell_spans(self, _: web.Request) -> web.Response:
        """When it worked."""
        return web.json_response(self.spans)

    async def tell_late(self, _: web.Request) -> web.Response:
        """How long after each end somebody was told of it, in seconds."""
        return web.json_response(self._late)
