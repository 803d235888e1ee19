"""Where the time of each task went: from the laps, the logs and the device's spans."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Final

from pydantic_core import from_json

from darkroom_bench.load import Lap
from darkroom_cli.errors import CommandError
from darkroom_cli.timeline import timeline

_NEEDED: Final = ("queued", "leased", "generated", "notified")


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which the runtime's device worked on one image."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One task's time in seconds, split at the points that it passed."""

    total: float  # POST to callback
    generation: float  # the device worked on it
    queue_wait: float  # from SNS having taken it to the agent having begun it
    delivery: float  # from the callback having been published to its being received

    @property
    def overhead(self) -> float:
        """All that was not generation."""
        return self.total - self.generation

    @property
    def without_wait(self) -> float:
        """The overhead without the wait in the runtime's queue."""
        return self.overhead - self.queue_wait

    @property
    def inside(self) -> float:
        """The overhead without either queue: what the services did or waited for."""
        return self.without_wait - self.delivery


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The middle and the slow end, in milliseconds."""

    p50: float
    p99: float


MEASURES: Final[Mapping[str, Callable[[Split], float]]] = {
    "POST to callback": lambda split: split.total,
    "generation": lambda split: split.generation,
    "overhead": lambda split: split.overhead,
    "overhead without queue wait": lambda split: split.without_wait,
    "overhead within the services": lambda split: split.inside,
}


def read_spans(busy_log: Path) -> list[Span]:
    """The spans that a sample runtime has written, first one first."""
    lines = [from_json(line) for line in busy_log.read_bytes().splitlines()]
    spans = [
        Span(datetime.fromtimestamp(one["start"], UTC), datetime.fromtimestamp(one["end"], UTC))
        for one in lines
    ]
    return sorted(spans, key=lambda span: span.start)


def split(lap: Lap, events: Mapping[str, datetime], spans: Sequence[Span]) -> Split:
    """Where a task's time went; `spans` are in order and of the only runtime.

    Raises `CommandError` if the logs do not tell.
    """
    missing = [event for event in _NEEDED if event not in events]
    if missing:
        raise CommandError(f"the logs have no {', '.join(missing)} of {lap.uid}")
    # A runtime does one task at a time: the span within the task's time is the task's.
    index = bisect_left(spans, events["leased"], key=lambda span: span.start)
    if index == len(spans) or spans[index].end > events["generated"]:
        raise CommandError(f"the runtime's log has no span of {lap.uid}")
    generation = spans[index].end - spans[index].start
    return Split(
        total=(lap.received - lap.posted).total_seconds(),
        generation=generation.total_seconds(),
        queue_wait=(events["leased"] - events["queued"]).total_seconds(),
        delivery=(lap.received - events["notified"]).total_seconds(),
    )


def percentiles(seconds: Iterable[float]) -> Percentiles:
    """The percentiles of at least two durations, interpolated between neighbours."""
    cuts = quantiles((value * 1000 for value in seconds), n=100, method="inclusive")
    return Percentiles(p50=cuts[49], p99=cuts[98])


def summed_up(
    laps: Iterable[Lap], logs: Sequence[Path], spans: Sequence[Span]
) -> dict[str, Percentiles]:
    """The percentiles of each measure over all laps; raises `CommandError`."""
    splits = [split(lap, timeline(logs, lap.uid), spans) for lap in laps]
    return {name: percentiles(map(value, splits)) for name, value in MEASURES.items()}
