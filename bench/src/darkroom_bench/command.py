"""What the commands of all benchmarks share: options, files of figures, interrupts, ends."""

from __future__ import annotations

import asyncio
import platform
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import psutil
import typer
from rich.console import Console

from darkroom_bench.figures import Marks, replace_section
from darkroom_cli.errors import CommandError
from servicekit.errors import AppError
from servicekit.lifecycle import stop_on_signals

T = TypeVar("T")
notes = Console(stderr=True)

JsonFile = Annotated[
    Path | None, typer.Option("--json", help="File for the figures.", dir_okay=False)
]
MarkdownFile = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        help="File whose section between the marks of this benchmark is replaced.",
        dir_okay=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The files that a benchmark writes, made before its run so that it fails early.

    Raises `CommandError` if one of them cannot be written.
    """

    marks: Marks
    json_file: Path | None = None
    markdown_file: Path | None = None
    others: tuple[Path | None, ...] = ()  # that the benchmark writes itself

    def __post_init__(self) -> None:
        for file in (self.json_file, self.markdown_file, *self.others):
            if file and not file.parent.is_dir():
                raise CommandError(f"{file.parent} is not a folder")
        if self.markdown_file:
            self._updated(self.markdown_file, "")

    def write(self, *, figures: str, section: str) -> None:
        """Write the figures as JSON and the section of the document, as far as asked for."""
        if self.json_file:
            self.json_file.write_text(f"{figures}\n")
        if self.markdown_file:
            self.markdown_file.write_text(self._updated(self.markdown_file, section))

    def _updated(self, file: Path, section: str) -> str:
        document = file.read_text() if file.exists() else ""
        try:
            return replace_section(document, section, self.marks)
        except CommandError as error:
            raise CommandError(f"{file}: {error}") from None


def levels(text: str, example: str) -> tuple[int, ...]:
    """The different positive numbers of a list; raises `typer.BadParameter`."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1 or len(set(found)) < len(found):
        raise typer.BadParameter(f"must be different positive numbers, for example {example}")
    return found


def machine() -> str:
    """Say on what the figures were taken."""
    return (
        f"Machine: {psutil.cpu_count()} cores ({platform.machine()}), {platform.system()},"
        f" {platform.python_implementation()} {platform.python_version()}, everything on it"
    )


def run(
    measure: Callable[[Path], Awaitable[T]], *, keeps_logs: Callable[[T], bool] | None = None
) -> T:
    """What `measure` finds in a folder of its own, which is then removed.

    The folder stays, and is told, when it fails, is interrupted, or `keeps_logs` of what was
    found. Raises `CommandError` when the process is told to stop.
    """
    return asyncio.run(_run(measure, keeps_logs))


async def _run(
    measure: Callable[[Path], Awaitable[T]], keeps_logs: Callable[[T], bool] | None
) -> T:
    folder = Path(tempfile.mkdtemp(prefix="darkroom-bench-"))
    try:
        with stop_on_signals() as stop:
            async with asyncio.TaskGroup() as group:
                interrupt = group.create_task(_interrupt(stop), name="interrupt")
                found = await measure(folder)
                interrupt.cancel()
    except BaseException:
        say(f"logs are in {folder}")
        raise
    if keeps_logs and keeps_logs(found):
        say(f"logs are in {folder}")
    else:
        await asyncio.to_thread(shutil.rmtree, folder)
    return found


async def _interrupt(stop: asyncio.Event) -> None:
    await stop.wait()
    raise CommandError("interrupted")


def say(text: str) -> None:
    """Tell how far a run is, beside its figures."""
    notes.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def failures(name: str) -> Iterator[None]:
    """End the process with one sentence for what a person has to mend."""
    try:
        yield
    except* (CommandError, AppError, OSError) as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        notes.print(f"{name}: {error}", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(1) from None
