"""Sending what comes at about the same time in one call, each part with an end of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, TypeVar

from servicekit.errors import FatalError, TransientError

E = TypeVar("E")
End = TransientError | FatalError | None  # None: it was taken
Send = Callable[[Sequence[E]], Awaitable[Sequence[End]]]

LINGER: Final = timedelta(milliseconds=5)
MOST_BEHIND: Final = 64  # calls that are out or wait, beyond which nothing is offered


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How much one call may hold, and how many calls may be out at once."""

    entries: int
    size: int  # bytes; an entry that is larger goes alone
    calls: int = 32
    linger: timedelta = LINGER  # how long an entry waits for others, if a call is out


class Batches(Generic[E]):
    """Puts entries into calls of `send`, which gives their ends in the same order."""

    def __init__(self, send: Send[E], limits: BatchLimits, group: asyncio.TaskGroup) -> None:
        self._send = send
        self._limits = limits
        self._group = group
        self._calls = asyncio.Semaphore(limits.calls)
        self._out = 0
        self._waiting: list[tuple[E, asyncio.Future[End]]] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def put(self, entry: E, size: int) -> None:
        """Return when the entry was taken; raises its own error if it was not.

        A caller that is cancelled while its entry waits takes it back; later, it may be sent.
        """
        error = await self._add(entry, size)
        if error is not None:
            # Its own, for others are told the same.
            raise _copied(error) from error

    def offer(self, entry: E, size: int) -> None:
        """Send an entry soon, without telling of its end; it is dropped if many calls wait."""
        if self._out < MOST_BEHIND:
            self._add(entry, size)

    def _add(self, entry: E, size: int) -> asyncio.Future[End]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[End] = loop.create_future()
        if self._closed:
            future.set_result(TransientError("nothing is sent any more"))
            return future
        if self._size + size > self._limits.size:
            self.flush()
        self._waiting.append((entry, future))
        self._size += size
        if len(self._waiting) >= self._limits.entries:
            self.flush()
        elif self._timer is None:
            # Alone it does not wait at all.
            linger = self._limits.linger.total_seconds() if self._out else 0
            self._timer = loop.call_later(linger, self.flush)
        return future

    def flush(self) -> None:
        """Send what waits, now."""
        if self._timer is not None:
            self._timer.cancel()
        batch, self._waiting, self._size, self._timer = self._waiting, [], 0, None
        if batch:
            self._out += 1
            self._group.create_task(self._deliver(batch), name=f"batch-of-{len(batch)}")

    def close(self) -> None:
        """Send what waits, now, and take nothing any more."""
        self.flush()
        self._closed = True

    async def _deliver(self, batch: Sequence[tuple[E, asyncio.Future[End]]]) -> None:
        try:
            async with self._calls:
                wanted = [(entry, future) for entry, future in batch if not future.done()]
                if wanted:
                    ends = await self._ends([entry for entry, _ in wanted])
                    for (_, future), end in zip(wanted, ends, strict=True):
                        if not future.done():
                            future.set_result(end)
        finally:
            self._out -= 1
            for _, future in batch:
                if not future.done():
                    future.set_result(TransientError("the call was given up"))

    async def _ends(self, entries: Sequence[E]) -> Sequence[End]:
        try:
            return await self._send(entries)
        except (TransientError, FatalError) as error:
            return [error] * len(entries)


def _copied(error: TransientError | FatalError) -> TransientError | FatalError:
    copied = type(error)(str(error))
    copied.details = error.details
    return copied


@asynccontextmanager
async def batching(send: Send[E], limits: BatchLimits) -> AsyncIterator[Batches[E]]:
    """Batches; at the end, what waits is sent and every call is waited for."""
    async with asyncio.TaskGroup() as group:
        batches = Batches(send, limits, group)
        try:
            yield batches
        finally:
            batches.close()
