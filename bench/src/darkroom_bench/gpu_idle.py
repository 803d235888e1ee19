"""The benchmark `gpu_idle`: how much of its time a runtime waits for Darkroom."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from contracts.kinds import RuntimeType
from darkroom_bench.command import JsonFile, MarkdownFile, Targets, failures, machine, run, say
from darkroom_bench.figures import Grid, Marks
from darkroom_bench.idle_plot import plot
from darkroom_bench.idle_run import Idle, Point, measure_idle
from darkroom_cli.errors import CommandError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()

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
    "**latest end**: the longest time from an end that can be known to the agent's knowing it."
    " An SD WebUI answers when it ends. The stand-in for ComfyUI tells `execution_success` 5 to"
    " 50 ms before its history has it, as ComfyUI does; until then it is at work on it.",
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
    runtime: Annotated[
        RuntimeType, typer.Option(help="What the stand-in speaks like.")
    ] = RuntimeType.SDWEBUI,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Measure the published grid instead.")
    ] = False,
    figures_file: Annotated[
        Path | None,
        typer.Option("--from", help="Figures of an earlier run, by --json; none is made."),
    ] = None,
    plot_file: Annotated[
        Path | None,
        typer.Option("--plot", help="File for a plot of the grid, as SVG.", dir_okay=False),
    ] = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure how busy one runtime is kept while its queue is full.

    Starts an AWS emulator behind a proxy that adds latency, the notifier, one queue agent and
    a stand-in runtime, and stops them. Use a machine that does nothing else.

    Examples:

    ./pants run bench:gpu_idle -- --seconds 0.2 --aws-latency-ms 20 --tasks 200

    ./pants run bench:gpu_idle -- --runtime comfyui --seconds 1.0 --aws-latency-ms 20

    ./pants run bench:gpu_idle -- --matrix --json idle.json --markdown docs/performance.md

    ./pants run bench:gpu_idle -- --from idle.json --plot docs/gpu-idle.svg
    """
    one = Point(
        seconds=seconds,
        latency_ms=aws_latency_ms,
        tasks=tasks,
        depth=depth,
        with_input=with_input,
        runtime=runtime,
    )
    with failures("gpu_idle"):
        targets = Targets(
            marks=MARKS, json_file=json_file, markdown_file=markdown_file, others=(plot_file,)
        )
        points = published(tasks) if matrix else [one]
        found = read(figures_file) if figures_file else run(lambda to: _measured(points, to))
        out.print(grid(found).rich())
        figures = json.dumps([asdict(idle) for idle in found], indent=2)
        targets.write(figures=figures, section=section(found))
        if plot_file:
            plot_file.write_text(plot(found))


def read(file: Path) -> list[Idle]:
    """The figures that `--json` wrote; raises `CommandError` if the file has others."""
    try:
        return TypeAdapter(list[Idle]).validate_json(file.read_bytes())
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        raise CommandError(f"{file} has no figures of gpu_idle: {wrong['msg']}") from None


def published(tasks: int) -> list[Point]:
    """The points of the published grid."""
    points = [
        Point(seconds=SECONDS, latency_ms=latency, depth=depth, tasks=tasks)
        for latency in LATENCIES_MS
        for depth in (0, 1)
    ]
    long = Point(seconds=LONG_SECONDS, latency_ms=20, tasks=min(tasks, LONG_TASKS))
    with_input = Point(seconds=SECONDS, latency_ms=20, tasks=tasks, with_input=True)
    graphs = [
        Point(seconds=LONG_SECONDS, latency_ms=20, tasks=min(tasks, LONG_TASKS), runtime=kind)
        for kind in (RuntimeType.COMFYUI, RuntimeType.INVOKEAI)
    ]
    return [*points, long, with_input, *graphs]


def grid(found: Iterable[Idle]) -> Grid:
    """The figures as a table, a run a row."""
    rows: list[tuple[str, ...]] = [
        (
            _image(idle.point),
            f"{idle.point.latency_ms:g}",
            str(idle.point.depth),
            str(idle.tasks),
            f"{idle.busy_fraction:.4f}",
            f"{idle.p50_ms:.1f}",
            f"{idle.p99_ms:.1f}",
            f"{idle.latest_end_ms:.1f}",
        )
        for idle in found
    ]
    header = (
        "image", "AWS latency ms", "depth", "tasks", "busy fraction", "idle p50 ms",
        "idle p99 ms", "latest end ms",
    )  # fmt: skip
    return Grid(title="How busy the runtime is", header=header, rows=rows)


def _image(point: Point) -> str:
    kind = "" if point.runtime is RuntimeType.SDWEBUI else f" {point.runtime}"
    return f"{point.seconds:g} s{kind}{', input' if point.with_input else ''}"


def section(found: Sequence[Idle]) -> str:
    """The section of a document, without its marks."""
    listed = "\n".join(f"- {line}" for line in (f"{machine()}.", *MEANINGS))
    return f"{grid(found).markdown()}\n\n{listed}"


async def _measured(points: list[Point], folder: Path) -> list[Idle]:
    found: list[Idle] = []
    for number, point in enumerate(points):
        say(f"{number + 1} of {len(points)}: {point}")
        idle = await measure_idle(point, folder / str(number), say)
        say(
            f"busy {idle.busy_fraction:.4f}, idle {idle.p50_ms:.1f} ms, p99 {idle.p99_ms:.1f},"
            f" latest end after {idle.latest_end_ms:.1f} ms"
        )
        found.append(idle)
    return found


def main() -> None:
    """Run the command."""
    app(prog_name="gpu_idle")


if __name__ == "__main__":
    main()
