"""How many bytes of requests may be in memory at once, whoever sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final

from ingest.payload import invalid, wrong
from servicekit.errors import RejectedError

READERS: Final = 6  # messages of gRPC, whose size is known only when they are there
RETRY_AFTER: Final = timedelta(seconds=1)


class BusyError(RejectedError):
    """There is no room for the request; it may come again after `retry_after`."""

    def __init__(self) -> None:
        super().__init__("too many large requests at once", code="unavailable")
        self.retry_after = RETRY_AFTER


class Bodies:
    """Counts the bytes of requests that are being read or worked on."""

    def __init__(self, limit: int, patience: timedelta) -> None:
        self.patience = patience  # to read one
        self._limit = limit
        self._held = 0
        self._readers = asyncio.Semaphore(READERS)

    @contextmanager
    def room(self) -> Iterator[Callable[[int], None]]:
        """What the block takes is given back at its end; taking raises `BusyError`."""
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if self._held + size > self._limit:
                raise BusyError
            self._held += size
            held += size

        try:
            yield take
        finally:
            self._held -= held

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read one message of gRPC in the block.

        Raises `BusyError` if others are read for too long, `RejectedError` if this one does not
        arrive.
        """
        try:
            async with asyncio.timeout(RETRY_AFTER.total_seconds()):
                await self._readers.acquire()
        except TimeoutError:
            raise BusyError from None
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                yield
        except TimeoutError:
            raise late(self.patience) from None
        finally:
            self._readers.release()


def late(patience: timedelta) -> RejectedError:
    """The refusal of a request that does not arrive in time."""
    return invalid([wrong("body", f"did not arrive within {patience.total_seconds():g} s")])
