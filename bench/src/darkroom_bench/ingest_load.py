"""The benchmark `ingest`: how many submissions one core of ingest takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from darkroom_bench.command import (
    JsonFile,
    MarkdownFile,
    Targets,
    failures,
    levels,
    machine,
    run,
    say,
)
from darkroom_bench.figures import Grid, Marks
from darkroom_bench.ingest_run import Level, Plan, RouterKind, measure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console(soft_wrap=True)

MARKS: Final = Marks(begin="<!-- ingest:begin -->", end="<!-- ingest:end -->")
BUSY: Final = 0.9  # a core that is more than this is what limits the rate
QUIET: Final = 0.1  # what is not ours may take so much of both cores

MEANINGS: Final = (
    "**router**: `real` is our router before DynamoDB and SNS that answer at once; `stub` is a"
    " router that answers at once itself, so that little but ingest is measured.",
    "**CPU**: user and system time of the process, warm-up included, for one submission.",
    "**a core's worth**: submissions for which the CPU time of one whole second suffices: what"
    " ingest would take if nothing else had its core and nothing made it wait.",
    "**ingest's core**, **other core**: how busy each was. The other core has the router, the"
    " AWS stub and the clients.",
    "**not ours**: how much of both cores went to programs that are not of the benchmark; if it"
    " is more than 10 %, neither the rates nor the times say anything, and CPU is too high.",
    "**limit**: the core that was more than 90 % busy, else `other programs` if they are that"
    " many, else `latency`.",
    "Each client submits again as soon as it has its answer, on a connection of its own.",
)


@app.command()
def ingest(
    *,
    clients: Annotated[str, typer.Option(help="Levels: how many clients.")] = "1,16,64",
    seconds: Annotated[float, typer.Option(help="Seconds of each level.", min=0.5)] = 8,
    router: Annotated[
        RouterKind | None, typer.Option(help="What is behind ingest; both if not given.")
    ] = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure how many submissions ingest takes on one core, over REST and gRPC.

    Starts ingest on the first core, and a router, a stub of AWS and the clients on the second.
    Needs Linux and a machine that does nothing else.

    Examples:

    ./pants run bench:ingest

    ./pants run bench:ingest -- --router stub --clients 16 --seconds 20

    ./pants run bench:ingest -- --markdown docs/performance.md
    """
    counts = levels(clients, "1,16,64")
    kinds = [router] if router else list(RouterKind)
    plans = [Plan(clients=counts, seconds=seconds, router=kind) for kind in kinds]
    with failures("ingest"):
        targets = Targets(marks=MARKS, json_file=json_file, markdown_file=markdown_file)
        found = run(lambda folder: _measured(plans, folder))
        out.print(grid(found).rich())
        figures = json.dumps([asdict(one) for one in found], indent=2)
        targets.write(figures=figures, section=section(found))


def limit(level: Level) -> str:
    """What keeps the rate from being higher."""
    if level.ingest_busy > BUSY:
        return "ingest"
    if level.rest_busy > BUSY:
        return "other core"
    return "other programs" if level.foreign_busy > QUIET else "latency"


def grid(found: Iterable[Level]) -> Grid:
    """The figures as a table, a level a row."""
    header = (
        "router", "API", "clients", "submissions a second", "ingest CPU ms", "a core's worth",
        "router CPU ms", "p50 ms", "p99 ms", "ingest's core", "other core", "not ours", "limit",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [
        (
            level.router,
            "REST" if level.protocol == "rest" else "gRPC",
            str(level.clients),
            f"{level.submitted.a_second:.0f}",
            f"{level.ingest_ms:.2f}",
            f"{1000 / level.ingest_ms:.0f}",
            f"{level.router_ms:.2f}",
            f"{level.submitted.p50_ms:.1f}",
            f"{level.submitted.p99_ms:.1f}",
            f"{level.ingest_busy:.0%}",
            f"{level.rest_busy:.0%}",
            f"{level.foreign_busy:.0%}",
            limit(level),
        )
        for level in found
    ]
    return Grid(title="What one core of ingest takes", header=header, rows=rows)


def section(found: Sequence[Level]) -> str:
    """The section of a document, without its marks."""
    listed = "\n".join(f"- {line}" for line in (f"{machine()}.", *MEANINGS))
    return f"{grid(found).markdown()}\n\n{listed}"


async def _measured(plans: Sequence[Plan], folder: Path) -> list[Level]:
    return [level for plan in plans for level in await measure(plan, folder / plan.router, say)]


def main() -> None:
    """Run the command."""
    app(prog_name="ingest")


if __name__ == "__main__":
    main()
