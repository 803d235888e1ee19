"""One run of the benchmark: a stack of its own, a warm-up, then one level after another."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from awsio import clients
from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_bench.cpu import Meter, milliseconds_a_task
from darkroom_bench.load import Callbacks, Lap, Load
from darkroom_bench.times import Percentiles, read_spans, summed_up
from darkroom_cli.api import Api
from darkroom_cli.embedded import programs
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Announce, Processes
from darkroom_cli.embedded.programs import HOST, Attached
from darkroom_cli.embedded.stack import Options, stack
from darkroom_cli.requests import SAMPLE_CHECKPOINT
from provisioning.resources import subscribe_queue
from servicekit.listen import free_port

RUNTIME: Final = "sdruntime"
WARM_UP_TASKS: Final = 5
# Of one key; inherited by the services, so that the throttle is not what is measured.
UNTHROTTLED: Final = {"INGEST_RATE_PER_SECOND": "100000", "INGEST_BURST": "100000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does."""

    levels: tuple[int, ...]  # tasks in flight
    tasks: int  # of each level
    image_seconds: float

    def timed(self, in_flight: int) -> int:
        """How many tasks of a level are timed: enough for its queue to turn over."""
        return max(self.tasks, 3 * in_flight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The figures of one number of tasks in flight."""

    in_flight: int
    tasks: int  # that CPU was measured over
    timed: int  # those of them that found the level full
    tasks_a_second: float
    cpu: dict[str, float]  # milliseconds a task, by process
    times: dict[str, Percentiles]  # by measure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Driven:
    in_flight: int
    laps: list[Lap]
    seconds: float
    cpu: dict[str, float]


async def measure(plan: Plan, folder: Path, announce: Announce) -> list[Level]:
    """The figures of each level, from a stack that keeps its state in `folder`.

    Raises `CommandError` when a task fails or anything does not start; an `AppError` when the
    emulator fails. Both may come in an exception group.
    """
    os.environ.update(UNTHROTTLED)
    busy_log = folder / "busy.jsonl"
    stacked = Folder(folder / "stack")
    async with (
        _runtime(plan, folder, busy_log, announce) as attached,
        stack(Options(folder=stacked, attached=(attached,)), announce) as running,
        clients.sqs() as sqs,
        Api(running.endpoint, running.api_key) as api,
        asyncio.TaskGroup() as group,
    ):
        url = await subscribe_queue(running.result_topic_arn, "bench-callbacks")
        callbacks = Callbacks(sqs, url)
        receiving = group.create_task(callbacks.receive(), name="receive-callbacks")
        load = Load(
            api=api, callbacks=callbacks, runtime=RUNTIME, image_seconds=plan.image_seconds
        )
        driven = await _drive(plan, load, announce)
        receiving.cancel()
    announce("reading the logs")
    return await asyncio.to_thread(_summed_up, driven, stacked, busy_log)


@asynccontextmanager
async def _runtime(
    plan: Plan, folder: Path, busy_log: Path, announce: Announce
) -> AsyncIterator[Attached]:
    """Run a sample runtime that logs when it works, which those of a stack do not."""
    attached = Attached(
        runtime=Runtime(
            name=RUNTIME, type=RuntimeType.SDWEBUI, model_filename=SAMPLE_CHECKPOINT
        ),
        url=f"http://{HOST}:{free_port()}",
    )
    given = (
        *("--checkpoint", SAMPLE_CHECKPOINT),
        *("--seconds-per-image", str(plan.image_seconds)),
        *("--busy-log", str(busy_log)),
    )
    own = Folder(folder / "runtime")
    with own.locked() as lock:
        processes = Processes(announce, lock)
        try:
            await processes.start(programs.sample_runtime(attached, own, given))
            yield attached
        finally:
            await processes.stop()


async def _drive(plan: Plan, load: Load, announce: Announce) -> list[_Driven]:
    meter = Meter(RUNTIME)
    announce(f"warming up with {WARM_UP_TASKS} tasks")
    await load.drive("warm-up", in_flight=1, tasks=WARM_UP_TASKS)
    driven = []
    for in_flight in plan.levels:
        tasks = in_flight + plan.timed(in_flight)
        announce(f"{tasks} tasks, {in_flight} in flight")
        driven.append(await _driven(load, meter.read, in_flight=in_flight, tasks=tasks))
        announce(f"took {driven[-1].seconds:.1f} s")
    return driven


async def _driven(
    load: Load, cpu_seconds: Callable[[], dict[str, float]], *, in_flight: int, tasks: int
) -> _Driven:
    before, started = cpu_seconds(), time.perf_counter()
    laps = await load.drive(f"bench-{in_flight}", in_flight=in_flight, tasks=tasks)
    seconds = time.perf_counter() - started
    cpu = milliseconds_a_task(before, cpu_seconds(), tasks)
    return _Driven(in_flight=in_flight, laps=laps, seconds=seconds, cpu=cpu)


def _summed_up(driven: list[_Driven], stacked: Folder, busy_log: Path) -> list[Level]:
    logs, spans = sorted(stacked.path.glob("logs/*.log")), read_spans(busy_log)
    return [
        Level(
            in_flight=one.in_flight,
            tasks=len(one.laps),
            timed=len(one.laps) - one.in_flight,
            tasks_a_second=len(one.laps) / one.seconds,
            cpu=one.cpu,
            times=summed_up(one.laps[one.in_flight :], logs, spans),
        )
        for one in driven
    ]
