"""The benchmark `fairness`: how long one tenant's crowd keeps another's task waiting."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.console import Console

from darkroom_bench.command import JsonFile, MarkdownFile, Targets, failures
from darkroom_bench.fairness_run import Crowd, Waits, measure
from darkroom_bench.figures import Grid, Marks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()

MARKS: Final = Marks(begin="<!-- fairness:begin -->", end="<!-- fairness:end -->")
MOST: Final = 2  # images that a single task may wait
AGENTS: Final = (1, 2, 4)


@app.command()
def fairness(
    *,
    queued: Annotated[int, typer.Option(help="Tasks of the one.", min=1, max=10**5)] = 1000,
    seconds: Annotated[float, typer.Option(help="Of an image.", min=0.1, max=600)] = 10,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Simulate one tenant with many queued tasks, and the single task of another.

    Agents run their own pipeline; the queue is a stand-in that does what AWS documents of fair
    queues, the runtime only waits, and the clock jumps. Ends with 1 if the single task waits
    for two images or more.

    Examples:

    ./pants run bench:fairness

    ./pants run bench:fairness -- --queued 5000 --markdown docs/performance.md
    """
    logging.disable(logging.WARNING)
    with failures("fairness"):
        targets = Targets(marks=MARKS, json_file=json_file, markdown_file=markdown_file)
        crowds = [
            Crowd(agents=agents, fair=fair, queued=queued, seconds=seconds)
            for fair in (True, False)
            for agents in AGENTS
        ]
        found = [measure(crowd) for crowd in crowds]
        out.print(grid(found).rich())
        figures = json.dumps([asdict(waits) for waits in found], indent=2)
        targets.write(figures=figures, section=grid(found).markdown())
    raise SystemExit(int(any(one.crowd.fair and one.longest >= MOST for one in found)))


def grid(found: Sequence[Waits]) -> Grid:
    """A row for each number of agents and kind of queue."""
    rows: list[tuple[str, ...]] = [
        (
            str(one.crowd.agents),
            "fair" if one.crowd.fair else "not fair",
            str(one.crowd.queued),
            f"{one.p50:.2f}",
            f"{one.longest:.2f}",
        )
        for one in found
    ]
    header = ("agents", "queue", "queued by the other", "waits p50, images", "longest, images")
    return Grid(title="How long a single task waits", header=header, rows=rows)


def main() -> None:
    """Run the command."""
    app(prog_name="fairness")


if __name__ == "__main__":
    main()
