"""Tells watchers in this process that a record may have changed, so that they look at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from contracts.ids import Uid


class Wakeup:
    """Wakes one watcher; a call between two waits is not lost."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Wake the watcher, or keep it from waiting next."""
        self._woken.set()

    async def wait(self, at_most: timedelta) -> None:
        """Return when it is woken, or after that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most.total_seconds()):
                await self._woken.wait()
        self._woken.clear()


class Changes:
    """The watchers of this process by task."""

    def __init__(self) -> None:
        self._wakeups: defaultdict[Uid, set[Wakeup]] = defaultdict(set)
        self.closed = False  # the process stops: watchers end and come back elsewhere

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return sum(map(len, self._wakeups.values()))

    def wake(self, uid: Uid) -> None:
        """Wake the watchers of a task."""
        for wakeup in self._wakeups.get(uid, ()):
            wakeup.wake()

    def close(self) -> None:
        """Wake everybody for the last time."""
        self.closed = True
        for uid in self._wakeups:
            self.wake(uid)

    @contextmanager
    def watching(self, uid: Uid) -> Iterator[Wakeup]:
        """What wakes the watcher of this task while the block lasts."""
        wakeup = Wakeup()
        self._wakeups[uid].add(wakeup)
        try:
            yield wakeup
        finally:
            self._wakeups[uid].discard(wakeup)
            if not self._wakeups[uid]:
                del self._wakeups[uid]
