"""Tells watchers in this process that a record may have changed, so that they look at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from contracts.ids import Uid


class Bell:
    """Rings for one watcher; a ring between two waits is not lost."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the watcher, or keep it from waiting next."""
        self._rung.set()

    async def wait(self, at_most: timedelta) -> None:
        """Return when it rings, or after that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most.total_seconds()):
                await self._rung.wait()
        self._rung.clear()


class Changes:
    """The watchers of this process by task."""

    def __init__(self) -> None:
        self._bells: defaultdict[Uid, set[Bell]] = defaultdict(set)
        self.closed = False  # the process stops: watchers end and come back elsewhere

    @property
    def watchers(self) -> int:
        """Give how many watch now."""
        return sum(map(len, self._bells.values()))

    def ring(self, uid: Uid) -> None:
        """Wake the watchers of a task."""
        for bell in self._bells.get(uid, ()):
            bell.ring()

    def close(self) -> None:
        """Wake everybody for the last time."""
        self.closed = True
        for uid in self._bells:
            self.ring(uid)

    @contextmanager
    def watching(self, uid: Uid) -> Iterator[Bell]:
        """Give a bell that rings for this task while the block lasts."""
        bell = Bell()
        self._bells[uid].add(bell)
        try:
            yield bell
        finally:
            self._bells[uid].discard(bell)
            if not self._bells[uid]:
                del self._bells[uid]
