"""The benchmark `overhead`: what Darkroom costs a task besides the image."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from darkroom_bench.figures import (
    MEANINGS,
    as_json,
    conditions,
    grids,
    markdown,
    replace_section,
)
from darkroom_bench.measure import Level, Plan, measure
from darkroom_cli.errors import CommandError
from servicekit.errors import AppError
from servicekit.lifecycle import stop_on_signals

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()
notes = Console(stderr=True)


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
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures.", dir_okay=False)
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            help="File whose section between the overhead marks is replaced.",
            dir_okay=False,
        ),
    ] = None,
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
    plan = Plan(levels=_levels(in_flight), tasks=tasks, image_seconds=image_seconds)
    try:
        _check_targets(json_file, markdown_file)
        levels = asyncio.run(_measured(plan))
        _print(levels, image_seconds)
        if json_file:
            json_file.write_text(as_json(levels, image_seconds) + "\n")
        if markdown_file:
            section = markdown(levels, image_seconds)
            markdown_file.write_text(_updated(markdown_file, section))
    except* (CommandError, AppError, OSError) as failed:
        _fail(failed)


def _levels(text: str) -> tuple[int, ...]:
    try:
        levels = tuple(int(part) for part in text.split(","))
    except ValueError:
        levels = ()
    if not levels or min(levels) < 1 or len(set(levels)) < len(levels):
        raise typer.BadParameter("must be different positive numbers, for example 1,10,50")
    return levels


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
        return replace_section(document, section)
    except CommandError as error:
        raise CommandError(f"{file}: {error}") from None


async def _measured(plan: Plan) -> list[Level]:
    """Measure until done or told to stop; the logs stay only if it fails."""
    folder = Path(tempfile.mkdtemp(prefix="darkroom-bench-"))
    try:
        with stop_on_signals() as stop:
            async with asyncio.TaskGroup() as group:
                interrupt = group.create_task(_interrupt(stop), name="interrupt")
                levels = await measure(plan, folder, _say)
                interrupt.cancel()
    except BaseException:
        _say(f"logs are in {folder}")
        raise
    await asyncio.to_thread(shutil.rmtree, folder)
    return levels


async def _interrupt(stop: asyncio.Event) -> None:
    await stop.wait()
    raise CommandError("interrupted")


def _print(levels: list[Level], image_seconds: float) -> None:
    for line in conditions(levels, image_seconds):
        out.print(line, highlight=False)
    for grid in grids(levels):
        out.print()
        out.print(grid.rich())
    for line in MEANINGS:
        out.print(line.replace("**", ""), highlight=False)


def _say(text: str) -> None:
    notes.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


def _fail(failed: BaseException) -> NoReturn:
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    notes.print(f"overhead: {failed}", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)


def main() -> None:
    """Run the command."""
    app(prog_name="overhead")


if __name__ == "__main__":
    main()
