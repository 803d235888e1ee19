"""The benchmark `agent_memory`: what a queue agent has in memory while tasks pass."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.console import Console

from darkroom_bench.command import (
    JsonFile,
    MarkdownFile,
    Targets,
    failures,
    machine,
    run,
    say,
)
from darkroom_bench.figures import Grid, Marks
from darkroom_bench.memory_run import Phase, Plan, measure_memory

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console(soft_wrap=True)

MARKS: Final = Marks(begin="<!-- agent-memory:begin -->", end="<!-- agent-memory:end -->")
MEGABYTE: Final = 1e6

MEANINGS: Final = (
    "One agent for SD WebUI with a depth of 1, and its whole life in order. It has up to six"
    " tasks at once: one staged, one at work, four being uploaded.",
    "**RSS**: resident memory of the agent's process, libraries that others share included,"
    " sampled every 20 ms; 1 MB is a million bytes.",
    "**open files**: connections and files of images on their way, at the end.",
    "The runtime is a stand-in that takes 20 ms for an image, gives it as base64 in JSON, and"
    " checks nothing. Images are random pixels, so that nothing is made smaller on the way.",
)


@app.command()
def agent_memory(
    *,
    tasks: Annotated[int, typer.Option(help="Tasks of 150 KB images.", min=5)] = 5000,
    large: Annotated[int, typer.Option(help="Tasks of large images, twice.", min=1)] = 300,
    large_mb: Annotated[float, typer.Option(help="Size of a large image.", min=1)] = 20,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure the memory of one agent while large images pass, and over many small ones.

    Starts an AWS emulator, the notifier, one queue agent and a stand-in runtime, and stops
    them. Its objects are deleted as they come, for the emulator's sake.

    Examples:

    ./pants run bench:agent_memory -- --tasks 500 --large 20

    ./pants run bench:agent_memory -- --markdown docs/performance.md
    """
    plan = Plan(large=large, large_bytes=int(large_mb * MEGABYTE), small=tasks)
    with failures("agent_memory"):
        targets = Targets(marks=MARKS, json_file=json_file, markdown_file=markdown_file)
        found = run(lambda folder: measure_memory(plan, folder, say))
        out.print(grid(found).rich())
        figures = json.dumps([asdict(phase) for phase in found], indent=2)
        targets.write(figures=figures, section=section(found))


def grid(found: Iterable[Phase]) -> Grid:
    """The figures as a table, a phase a row."""
    header = ("agent", "tasks", "RSS p50 MB", "RSS max MB", "RSS at the end MB", "open files")
    rows: list[tuple[str, ...]] = [
        (
            phase.name,
            str(phase.tasks),
            *(f"{size / MEGABYTE:.1f}" for size in (phase.p50, phase.highest, phase.at_end)),
            str(phase.files),
        )
        for phase in found
    ]
    return Grid(title="What an agent has in memory", header=header, rows=rows)


def section(found: Sequence[Phase]) -> str:
    """The section of a document, without its marks."""
    listed = "\n".join(f"- {line}" for line in (f"{machine()}.", *MEANINGS))
    return f"{grid(found).markdown()}\n\n{listed}"


def main() -> None:
    """Run the command."""
    app(prog_name="agent_memory")


if __name__ == "__main__":
    main()
