"""How fast one key may ask. Each process counts for itself, so replicas add up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from aiolimiter import AsyncLimiter

from ingest.domain import Caller
from servicekit.errors import RejectedError


class ThrottledError(RejectedError):
    """The key asks too fast; the same request may come again after `retry_after`."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("this key asks too fast", code="throttled", retry_after=retry_after)


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

    def forget_others(self, callers: Iterable[Caller]) -> None:
        """Forget all but `callers`; one whose limits changed begins with an empty bucket."""
        known = set(callers)
        self._buckets = {c: bucket for c, bucket in self._buckets.items() if c in known}
