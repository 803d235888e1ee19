"""One run of the benchmark `gpu_idle`: a full queue, one agent, and a runtime that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Final

import httpx

from contracts.kinds import RuntimeType
from darkroom_bench.one_agent import Work, input_server, one_agent
from darkroom_cli.embedded.processes import Announce

PATIENCE_SECONDS: Final = 60  # besides the runtime's own work
INPUT_SIDE: Final = 707  # a picture of about 500 KB


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one run is about."""

    seconds: float  # of an image
    latency_ms: float  # of AWS
    depth: int = 1
    tasks: int = 200
    with_input: bool = False  # one by URL for each task
    runtime: RuntimeType = RuntimeType.SDWEBUI


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """How busy the runtime was from its first image to its last."""

    point: Point
    tasks: int
    busy_fraction: float
    p50_ms: float  # idle between two images
    p99_ms: float
    latest_end_ms: float = 0.0  # after which the agent knew of an end; 0: the answer tells it


def summed_up(
    point: Point, spans: Sequence[tuple[float, float]], late: Sequence[float] = ()
) -> Idle:
    """The figures of the spans in which the runtime worked, at least two.

    `late` is how many seconds after each end the agent knew of it.
    """
    ordered = sorted(spans)
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(ordered)]
    whole = ordered[-1][1] - ordered[0][0]
    cuts = quantiles(gaps, n=100, method="inclusive") if len(gaps) > 1 else gaps * 99
    return Idle(
        point=point,
        tasks=len(ordered),
        busy_fraction=sum(end - start for start, end in ordered) / whole,
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
        latest_end_ms=max(late, default=0.0) * 1000,
    )


async def measure_idle(point: Point, folder: Path, announce: Announce) -> Idle:
    """The figures of one run, whose processes keep their state in `folder`.

    Raises `CommandError` when a task is not completed or anything does not start; an `AppError`
    when the emulator fails. Both may come in an exception group.
    """
    async with (
        input_server(INPUT_SIDE) as url,
        one_agent(folder, announce, latency_ms=point.latency_ms, kind=point.runtime) as stack,
    ):
        work = Work(tasks=point.tasks, input_url=url if point.with_input else "")
        uids = await stack.fill(work)
        announce(f"{point.tasks} tasks wait; starting the agent")
        await stack.start(seconds=point.seconds, depth=point.depth)
        own = 3 * point.tasks * (point.seconds + point.latency_ms / 100)
        await stack.emptied(PATIENCE_SECONDS + own)
        await stack.check_completed(uids)
        async with httpx.AsyncClient(trust_env=False) as client:
            spans = (await client.get(f"{stack.attached.url}/spans")).json()
            late = (await client.get(f"{stack.attached.url}/late")).json()
    return summed_up(point, [(start, end) for start, end in spans], late)
