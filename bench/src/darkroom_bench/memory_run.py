"""One run of the benchmark `agent_memory`: what one agent has in memory while tasks pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from awsio import clients
from awsio.errors import translated
from darkroom_bench.one_agent import OneAgent, Work, input_server, one_agent
from darkroom_bench.still_runtime import SIDE
from darkroom_cli.embedded.processes import Announce
from darkroom_cli.errors import CommandError
from provisioning.resources import Resources

SECONDS: Final = 0.02  # of an image
IDLE_SECONDS: Final = 5
SAMPLE_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 120
TASK_SECONDS: Final = 5  # at most, with everything on one machine
CLEAN_SECONDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What passes: large images, the same made of large inputs, then small ones in parts."""

    large: int  # tasks
    large_bytes: int  # of an image
    small: int  # tasks
    parts: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What the agent had in memory while one kind of task passed."""

    name: str
    tasks: int
    p50: float  # bytes
    highest: int
    at_end: int
    files: int  # open at the end, connections included


@dataclass(slots=True)
class Watch:
    """Samples one process."""

    process: psutil.Process
    samples: list[int] = field(default_factory=list)

    async def look(self) -> None:
        """Sample until cancelled; raises `CommandError` when the process ends."""
        while True:
            try:
                self.samples.append(self.process.memory_info().rss)
            except psutil.Error:
                raise CommandError("the agent ended during the benchmark") from None
            await asyncio.sleep(SAMPLE_SECONDS)

    def phase(self, name: str, tasks: int) -> Phase:
        """What was seen since the last phase."""
        samples, self.samples = self.samples, []
        return Phase(
            name=name,
            tasks=tasks,
            p50=median(samples),
            highest=max(samples),
            at_end=samples[-1],
            files=self.process.num_fds(),
        )


async def measure_memory(plan: Plan, folder: Path, announce: Announce) -> list[Phase]:
    """The phases of one agent's life, the first of them idle.

    Raises `CommandError` when a task is not completed or anything does not start; an `AppError`
    when the emulator fails. Both may come in an exception group.
    """
    side = isqrt(plan.large_bytes)
    async with input_server(side) as url, one_agent(folder, announce) as stack:
        await stack.start(seconds=SECONDS)
        watch = Watch(psutil.Process(stack.agent_pid))
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(watch.look(), name="watch"),
                group.create_task(_clean(stack.resources), name="clean"),
            ]
            await asyncio.sleep(IDLE_SECONDS)
            phases = [watch.phase("idle", 0)]
            for name, work in _passing(plan, side, url):
                announce(f"{name}: {work.tasks} tasks")
                await _pass(stack, work)
                phases.append(watch.phase(name, work.tasks))
            for each in beside:
                each.cancel()
    return phases


def _passing(plan: Plan, side: int, url: str) -> Iterator[tuple[str, Work]]:
    size = f"{plan.large_bytes / 1e6:g} MB"
    yield f"images of {size}", Work(tasks=plan.large, side=side)
    with_input = Work(tasks=plan.large, side=side, input_url=url)
    yield f"images of {size}, each of an input of {size}", with_input
    for number in range(plan.parts):
        tasks = plan.small // plan.parts
        yield f"images of 150 KB, part {number + 1}", Work(tasks=tasks, side=SIDE)


async def _pass(stack: OneAgent, work: Work) -> None:
    uids = await stack.fill(work)
    await stack.emptied(PATIENCE_SECONDS + work.tasks * TASK_SECONDS)
    await stack.check_completed(uids)


async def _clean(resources: Resources) -> None:
    """Delete what is stored until cancelled: the emulator would keep gigabytes."""
    bucket = resources.output_bucket
    async with clients.s3() as s3:
        while True:
            with translated("s3.clean"):
                listed = await s3.list_objects_v2(Bucket=bucket)
                for one in listed.get("Contents", []):
                    await s3.delete_object(Bucket=bucket, Key=one["Key"])
            await asyncio.sleep(CLEAN_SECONDS)
