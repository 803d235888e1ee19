"""The benchmark `gpu_idle`: how much of its time a runtime waits for Darkroom."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, NoReturn

import psutil
import typer
from rich.console import Console

from darkroom_bench.figures import Grid, Marks, replace_section
from darkroom_bench.idle_run import Idle, Point, measure_idle
from darkroom_cli.errors import CommandError
from servicekit.errors import AppError
from servicekit.lifecycle import stop_on_signals

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()
notes = Console(stderr=True)

MARKS: Final = Marks(begin="<!-- gpu-idle:begin -->", end="<!-- gpu-idle:end -->")
LATENCIES_MS: Final = (0, 10, 20, 50, 100)
SECONDS: Final = 0.2  # of an image in the grid
LONG_SECONDS: Final = 1.5
LONG_TASKS: Final = 60

MEANINGS: Final = (
    "**busy fraction**: the time in which the stand-in runtime worked on an image, of the time"
    " from its first image to the end of its last.",
    "**idle**: the time between two images, as the runtime sees it.",
    "**depth**: the setting `QUEUE_AGENT_DEPTH`, tasks that are staged while one runs.",
    "**AWS latency**: added to every round trip of the agent and the notifier to the AWS"
    " emulator, whose own time comes on top.",
    "**input**: each task has an input of 500 KB by URL.",
    "Every image is the same PNG of 150 KB; drawing it costs no CPU.",
)


@app.command()
def gpu_idle(
    *,
    seconds: Annotated[float, typer.Option(help="Seconds of an image.", min=0.01)] = SECONDS,
    aws_latency_ms: Annotated[
        float, typer.Option(help="Milliseconds added to a round trip to AWS.", min=0)
    ] = 20,
    tasks: Annotated[int, typer.Option(help="Tasks in the queue.", min=2)] = 200,
    depth: Annotated[int, typer.Option(help="Staged tasks; 0: no overlap.", min=0)] = 1,
    with_input: Annotated[
        bool, typer.Option("--input", help="Give each task an input of 500 KB by URL.")
    ] = False,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Measure the published grid instead.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures.", dir_okay=False)
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            help="File whose section between the gpu-idle marks is replaced.",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Measure how busy one runtime is kept while its queue is full.

    Starts an AWS emulator behind a proxy that adds latency, the notifier, one queue agent and
    a stand-in runtime, and stops them. Use a machine that does nothing else.

    Examples:

    ./pants run bench:gpu_idle -- --seconds 0.2 --aws-latency-ms 20 --tasks 200

    ./pants run bench:gpu_idle -- --matrix --markdown docs/performance.md
    """
    one = Point(
        seconds=seconds,
        latency_ms=aws_latency_ms,
        tasks=tasks,
        depth=depth,
        with_input=with_input,
    )
    try:
        _check_targets(json_file, markdown_file)
        found = asyncio.run(_measured(published(tasks) if matrix else [one]))
        out.print(grid(found).rich())
        if json_file:
            json_file.write_text(json.dumps([asdict(idle) for idle in found], indent=2) + "\n")
        if markdown_file:
            markdown_file.write_text(_updated(markdown_file, section(found)))
    except* (CommandError, AppError, OSError) as failed:
        _fail(failed)


def _check_targets(json_file: Path | None, markdown_file: Path | None) -> None:
    """Fail before the run, not after it."""
    for file in (json_file, markdown_file):
        if file and not file.parent.is_dir():
            raise CommandError(f"{file.parent} is not a folder")
    if markdown_file:
        _updated(markdown_file, "")


def _updated(file: Path, section: str) -> str:
    document = file.read_text() if file.exists() else ""
    try:
        return replace_section(document, section, MARKS)
    except CommandError as error:
        raise CommandError(f"{file}: {error}") from None


def published(tasks: int) -> list[Point]:
    """Give the points of the published grid."""
    points = [
        Point(seconds=SECONDS, latency_ms=latency, depth=depth, tasks=tasks)
        for latency in LATENCIES_MS
        for depth in (0, 1)
    ]
    long = Point(seconds=LONG_SECONDS, latency_ms=20, tasks=min(tasks, LONG_TASKS))
    with_input = Point(seconds=SECONDS, latency_ms=20, tasks=tasks, with_input=True)
    return [*points, long, with_input]


def grid(found: Iterable[Idle]) -> Grid:
    """Give the figures as a table, a run a row."""
    rows: list[tuple[str, ...]] = [
        (
            f"{idle.point.seconds:g} s{', input' if idle.point.with_input else ''}",
            f"{idle.point.latency_ms:g}",
            str(idle.point.depth),
            str(idle.tasks),
            f"{idle.busy_fraction:.4f}",
            f"{idle.p50_ms:.1f}",
            f"{idle.p99_ms:.1f}",
        )
        for idle in found
    ]
    header = (
        "image", "AWS latency ms", "depth", "tasks", "busy fraction", "idle p50 ms",
        "idle p99 ms",
    )  # fmt: skip
    return Grid(title="How busy the runtime is", header=header, rows=rows)


def section(found: Sequence[Idle]) -> str:
    """Give the section of a document, without its marks."""
    machine = f"Machine: {psutil.cpu_count()} cores, every process of the run on it."
    listed = "\n".join(f"- {line}" for line in (machine, *MEANINGS))
    return f"{grid(found).markdown()}\n\n{listed}"


async def _measured(points: list[Point]) -> list[Idle]:
    """Measure until done or told to stop; the logs stay only if it fails."""
    folder = Path(tempfile.mkdtemp(prefix="darkroom-bench-"))
    found: list[Idle] = []
    try:
        with stop_on_signals() as stop:
            async with asyncio.TaskGroup() as group:
                interrupt = group.create_task(_interrupt(stop), name="interrupt")
                for number, point in enumerate(points):
                    _say(f"{number + 1} of {len(points)}: {point}")
                    found.append(await measure_idle(point, folder / str(number), _say))
                interrupt.cancel()
    except BaseException:
        _say(f"logs are in {folder}")
        raise
    await asyncio.to_thread(shutil.rmtree, folder)
    return found


async def _interrupt(stop: asyncio.Event) -> None:
    await stop.wait()
    raise CommandError("interrupted")


def _say(text: str) -> None:
    notes.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


def _fail(failed: BaseException) -> NoReturn:
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    notes.print(f"gpu_idle: {failed}", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)


def main() -> None:
    """Run the command."""
    app(prog_name="gpu_idle")


if __name__ == "__main__":
    main()
