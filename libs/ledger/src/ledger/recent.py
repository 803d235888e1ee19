"""How many tasks ended in each minute of the last hour: small counters, about right.

What a process has not added when it dies is missing, and an addition whose answer is lost may
count twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from ledger.usage import Counts

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = 60  # minutes
EVERYBODY: Final = ""  # in place of a tenant: all of them


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What is counted together; it is one item of the table."""

    tenant: str
    runtime: str
    hour: datetime


@dataclass
class Ends:
    """Tasks that ended, by place and minute of the hour."""

    counts: dict[Place, dict[int, Counts]] = field(default_factory=dict)

    def add(self, tenant: str, runtime: str, ended: datetime, counts: Counts) -> None:
        """Count tasks that ended at that time, for their tenant and for everybody."""
        hour = hour_of(ended)
        for whose in (tenant, EVERYBODY):
            minutes = self.counts.setdefault(Place(whose, runtime, hour), {})
            minute = ended.minute
            minutes[minute] = minutes.get(minute, Counts()) + counts


class RecentEnds(Protocol):
    """The counters; raises `TransientError` when they cannot be reached."""

    async def add(self, place: Place, minutes: Mapping[int, Counts]) -> None:
        """Count more tasks in the minutes of one place."""
        ...

    async def last_hour(
        self, tenant: str, runtimes: Sequence[str], now: datetime
    ) -> dict[str, tuple[Counts, ...]]:
        """By runtime what ended in each of the last 60 minutes, oldest first.

        Of one tenant, or of `EVERYBODY`.
        """
        ...


def hour_of(moment: datetime) -> datetime:
    """When its hour (UTC) began."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def places_of(tenant: str, runtimes: Sequence[str], now: datetime) -> list[Place]:
    """Where the last hour of these runtimes is counted."""
    hours = (hour_of(now) - HOUR * MINUTE, hour_of(now))
    return [Place(tenant, runtime, hour) for runtime in runtimes for hour in hours]


def joined(
    found: Mapping[Place, Mapping[int, Counts]],
    tenant: str,
    runtimes: Sequence[str],
    now: datetime,
) -> dict[str, tuple[Counts, ...]]:
    """The last 60 minutes of each runtime, the present one included, out of all its places."""
    moments = [now - back * MINUTE for back in reversed(range(HOUR))]

    def at(runtime: str, moment: datetime) -> Counts:
        minutes = found.get(Place(tenant, runtime, hour_of(moment)), {})
        return minutes.get(moment.minute, Counts())

    return {name: tuple(at(name, moment) for moment in moments) for name in runtimes}


def total(minutes: Sequence[Counts]) -> Counts:
    """The sum of some minutes."""
    return Counts(
        **{f.name: sum(getattr(each, f.name) for each in minutes) for f in fields(Counts)}
    )
