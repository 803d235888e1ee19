"""The benchmark `overhead`: what Darkroom costs a task besides the image."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from darkroom_bench.command import JsonFile, MarkdownFile, Targets, failures, levels, run, say
from darkroom_bench.figures import (
    MEANINGS,
    OVERHEAD,
    as_json,
    conditions,
    grids,
    markdown,
)
from darkroom_bench.measure import Level, Plan, measure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()


@app.command()
def overhead(
    *,
    in_flight: Annotated[
        str, typer.Option(help="Levels: how many tasks are kept in flight.")
    ] = "1,10,50",
    tasks: Annotated[
        int, typer.Option(help="Timed tasks of each level; at least 3 times in flight.", min=2)
    ] = 100,
    image_seconds: Annotated[
        float, typer.Option(help="Seconds that the sample runtime takes for an image.", min=0)
    ] = 0.05,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure CPU a task in each service, and the time from POST to callback.

    Starts a stack of its own with an AWS emulator and one sample runtime, on free ports and in
    a temporary folder, and stops it. Compare figures of one run only, on a machine that does
    nothing else.

    Examples:

    ./pants run bench:overhead

    ./pants run bench:overhead -- --tasks 30 --in-flight 1,10 --json overhead.json

    ./pants run bench:overhead -- --markdown docs/performance.md
    """
    wanted = levels(in_flight, "1,10,50")
    plan = Plan(levels=wanted, tasks=tasks, image_seconds=image_seconds)
    with failures("overhead"):
        targets = Targets(marks=OVERHEAD, json_file=json_file, markdown_file=markdown_file)
        found = run(lambda folder: measure(plan, folder, say))
        _print(found, image_seconds)
        targets.write(
            figures=as_json(found, image_seconds), section=markdown(found, image_seconds)
        )


def _print(found: list[Level], image_seconds: float) -> None:
    for line in conditions(found, image_seconds):
        out.print(line, highlight=False)
    for grid in grids(found):
        out.print()
        out.print(grid.rich())
    for line in MEANINGS:
        out.print(line.replace("**", ""), highlight=False)


def main() -> None:
    """Run the command."""
    app(prog_name="overhead")


if __name__ == "__main__":
    main()
