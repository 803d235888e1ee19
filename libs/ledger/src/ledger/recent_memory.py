"""`RecentEnds` in a dictionary, for tests; the contract suite holds it to DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ledger.recent import Place, joined
from ledger.usage import Counts


@dataclass
class MemoryRecentEnds:
    """Keeps them until the process ends."""

    counts: dict[Place, dict[int, Counts]] = field(default_factory=dict)

    async def add(self, place: Place, minutes: Mapping[int, Counts]) -> None:
        kept = self.counts.setdefault(place, {})
        for minute, counts in minutes.items():
            kept[minute] = kept.get(minute, Counts()) + counts

    async def last_hour(
        self, tenant: str, runtimes: Sequence[str], now: datetime
    ) -> dict[str, tuple[Counts, ...]]:
        return joined(self.counts, tenant, runtimes, now)
