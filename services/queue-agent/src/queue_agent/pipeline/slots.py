"""How many deliveries may be where at once, and whose turn it is at the runtime."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

HEAD_START: Final = timedelta(milliseconds=10)
"""How long all else waits when a run begins: its request goes out before AWS is called."""
OUTCOMES: Final = 3


class Turn:
    """One run's time at the runtime: handed over, then at work, then done with it."""

    def __init__(self, leave: Callable[[Turn], None], began: Callable[[], None]) -> None:
        self.begun = asyncio.Event()
        self.seconds = 0.0  # at work; 0 until it is done
        self._leave = leave
        self._began = began
        self._start = 0.0
        self._freed = False

    def begin(self) -> None:
        """Note that the runtime has nothing else to do before this run."""
        self._start = asyncio.get_running_loop().time()
        self.begun.set()
        self._began()

    async def free(self) -> None:
        """Let the next run begin, with a head start: the runtime has done its part."""
        self.leave()
        await asyncio.sleep(HEAD_START.total_seconds())

    def leave(self) -> None:
        """Let the next run begin. Safe to repeat."""
        if not self._freed:
            self._freed = True
            if self.begun.is_set():
                self.seconds = asyncio.get_running_loop().time() - self._start
            self._leave(self)


class Line:
    """The bounds of a pipeline.

    `depth` deliveries wait with everything prepared, `width` are handed to the runtime, of
    which it works on one, and `depth` + 3 outcomes are on their way out: a delivery takes some
    round trips to AWS one after another. With a depth of 0 there is one at a time in all.
    """

    def __init__(self, depth: int, width: int = 1) -> None:
        self.overlaps = depth > 0
        width = width if depth else 1
        self.staging = asyncio.Semaphore(max(depth, 1))
        self.room = asyncio.Semaphore(width + depth + OUTCOMES)
        self._places = asyncio.Semaphore(width)
        self._turns: deque[Turn] = deque()

    @asynccontextmanager
    async def turn(self, began: Callable[[], None]) -> AsyncIterator[Turn]:
        """Wait until the runtime may be handed a run; `began` is called when it is its turn.

        Turns are given in the order in which they were asked for.
        """
        await self._places.acquire()
        turn = Turn(self._leave, began)
        self._turns.append(turn)
        self._begin_next()
        try:
            yield turn
        finally:
            turn.leave()

    def _leave(self, turn: Turn) -> None:
        self._turns.remove(turn)
        self._places.release()
        self._begin_next()

    def _begin_next(self) -> None:
        if self._turns and not self._turns[0].begun.is_set():
            self._turns[0].begin()
