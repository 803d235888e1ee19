"""The benchmark `real`: how busy a real server is kept, beside its own queue."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.console import Console

from contracts.kinds import RuntimeType
from darkroom_bench.command import JsonFile, MarkdownFile, Targets, failures, machine, run, say
from darkroom_bench.figures import Grid, Marks
from darkroom_bench.real_run import Found, Plan, measure
from darkroom_bench.real_servers import SERVERS, Picture

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()

MARKS: Final = Marks(begin="<!-- real:begin -->", end="<!-- real:end -->")
MEANINGS: Final = (
    "**its own queue**: all images are put into the server's queue at once, without Darkroom.",
    "**Darkroom**: all are submitted by REST to a whole stack on the same machine.",
    "**seconds an image**: the median, from the server's own beginning of it to its end.",
    "**busy fraction**: 1 less the idle share, from its first image to the end of its last.",
    "**idle**: the time between two images, as the server itself wrote it down.",
)


@app.command()
def real(
    url: Annotated[str, typer.Argument(help="Address of a server that runs.")],
    *,
    runtime: Annotated[
        RuntimeType, typer.Option(help="What it is: comfyui or invokeai.")
    ] = RuntimeType.COMFYUI,
    checkpoint: Annotated[
        str, typer.Option(help="A model as the server names it; without, plain pictures.")
    ] = "",
    size: Annotated[int, typer.Option(help="Side of a picture.", min=64)] = 512,
    steps: Annotated[int, typer.Option(help="Steps of a picture.", min=1)] = 20,
    tasks: Annotated[int, typer.Option(help="Images each way.", min=3)] = 30,
    patience: Annotated[float, typer.Option(help="Seconds for all of them.", min=1)] = 1800,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure a real server by itself and behind a whole stack, in one run.

    The server has to run; nothing else should use it. The stack is started, and stopped.

    Examples:

    ./pants run bench:random_checkpoint -- models/checkpoints/random.safetensors

    ./pants run bench:real -- http://127.0.0.1:8188 --checkpoint random.safetensors
    """
    if runtime not in SERVERS:
        raise typer.BadParameter("must be comfyui or invokeai", param_hint="--runtime")
    plan = Plan(
        kind=runtime,
        url=url.rstrip("/"),
        picture=Picture(side=size, steps=steps, checkpoint=checkpoint),
        tasks=tasks,
        patience=patience,
    )
    with failures("real"):
        targets = Targets(marks=MARKS, json_file=json_file, markdown_file=markdown_file)
        found = run(lambda folder: measure(plan, folder, say))
        out.print(grid(found).rich())
        figures = json.dumps({"plan": asdict(plan), **asdict(found)}, indent=2)
        targets.write(figures=figures, section=section(plan, found))


def grid(found: Found) -> Grid:
    """The figures as a table, a way a row."""
    rows: list[tuple[str, ...]] = [
        (
            way.name,
            str(way.images),
            f"{way.image_seconds:.3f}",
            f"{way.busy_fraction:.4f}",
            f"{way.p50_ms:.1f}",
            f"{way.p99_ms:.1f}",
        )
        for way in found.ways
    ]
    header = (
        "way", "images", "seconds an image", "busy fraction", "idle p50 ms", "idle p99 ms",
    )  # fmt: skip
    return Grid(title=found.device, header=header, rows=rows)


def section(plan: Plan, found: Found) -> str:
    """The section of a document, without its marks."""
    drawn = plan.picture
    what = f"{drawn.steps} steps, {drawn.checkpoint}" if drawn.checkpoint else "no model"
    where = f"{found.device}; pictures of {drawn.side} x {drawn.side}, {what}."
    listed = "\n".join(f"- {line}" for line in (where, f"{machine()}.", *MEANINGS))
    return f"{grid(found).markdown()}\n\n{listed}"


def main() -> None:
    """Run the command."""
    app(prog_name="real")
