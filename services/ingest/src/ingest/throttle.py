"""How fast one key may ask. Each process counts for itself, so replicas add up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from aiolimiter import AsyncLimiter

from ingest.domain import Caller
from servicekit.errors import RejectedError


class ThrottledError(RejectedError):
    """The key asks too fast; the same request may come again after `retry_after`."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("this key asks too fast", code="throttled", retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a burst."""

    free: int  # requests
    reset: timedelta  # until all of it is there again


def _lacks(bucket: AsyncLimiter) -> Callable[[int], bool]:
    return lambda requests: not bucket.has_capacity(requests)


class Throttle:
    """One leaky bucket for each caller that has asked; `forget_others` bounds their number."""

    def __init__(self) -> None:
        self._buckets: dict[Caller, AsyncLimiter] = {}

    async def take(self, caller: Caller) -> None:
        """Count one request without waiting; raises `ThrottledError`."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = AsyncLimiter(caller.burst, caller.burst / caller.rate_per_second)
            self._buckets[caller] = bucket
        if not bucket.has_capacity():
            # One place leaks out in this time at the latest.
            raise ThrottledError(timedelta(seconds=1 / caller.rate_per_second))
        await bucket.acquire()

    def room(self, caller: Caller) -> Room:
        """How many requests fit in now, and when the bucket of the caller is empty again."""
        bucket = self._buckets.get(caller)
        free = caller.burst
        if bucket is not None:
            free = bisect_left(range(1, caller.burst + 1), True, key=_lacks(bucket))
        taken = caller.burst - free
        return Room(free=free, reset=timedelta(seconds=taken / caller.rate_per_second))

    def forget_others(self, callers: Iterable[Caller]) -> None:
        """Forget all but `callers`; one whose limits changed begins with an empty bucket."""
        known = set(callers)
        self._buckets = {c: bucket for c, bucket in self._buckets.items() if c in known}
