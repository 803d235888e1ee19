"""The figures as people and programs read them: tables, a section of Markdown, JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import psutil
from rich.table import Table

from darkroom_bench.cpu import OTHERS, SERVICES
from darkroom_bench.measure import Level
from darkroom_bench.times import MEASURES
from darkroom_cli.errors import CommandError


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Between which lines of a document a benchmark writes."""

    begin: str
    end: str


OVERHEAD: Final = Marks(begin="<!-- overhead:begin -->", end="<!-- overhead:end -->")

MEANINGS: Final = (
    "**POST to callback**: from the moment before the POST until the callback was received"
    " from an SQS queue that is subscribed to the result topic.",
    "**generation**: the time that the sample runtime's device worked on the image.",
    "**overhead**: POST to callback minus generation. There is one runtime, so with more than"
    " one task in flight this contains the wait for the tasks before it.",
    "**overhead without queue wait**: overhead minus the time from the task being queued to the"
    " agent having begun it.",
    "**overhead within the services**: that minus the time from the callback being published"
    " to its being received, so without either queue.",
    "**CPU**: user and system time of the process while the level ran, idle work such as health"
    " checks and refreshes included, divided by the level's tasks.",
    "Each row's percentiles are its own: they do not add up.",
    "The AWS emulator is part of every time but generation. It looks at a queue that was empty"
    " only each 100 ms: POST to callback and overhead contain that up to twice, overhead"
    " without queue wait once, overhead within the services not at all.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table before it has a form."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def rich(self) -> Table:
        """As a terminal shows it."""
        table = Table(title=self.title, title_justify="left")
        for number, name in enumerate(self.header):
            table.add_column(name, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """As text of a document."""
        rule = ["---", *("---:" for _ in self.header[1:])]
        lines = (self.header, rule, *self.rows)
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def grids(levels: Sequence[Level]) -> list[Grid]:
    """The tables: CPU of the services, CPU of what is not ours, times."""
    return [
        _cpu("CPU milliseconds a task", levels, SERVICES, total=True),
        _cpu("CPU milliseconds a task, not ours", levels, OTHERS, total=False),
        _times(levels),
    ]


def conditions(levels: Sequence[Level], image_seconds: float) -> list[str]:
    """Say on what and how the figures were taken."""
    machine = (
        f"{psutil.cpu_count()} cores ({platform.machine()}), {platform.system()},"
        f" {platform.python_implementation()} {platform.python_version()}, everything on it:"
        " services, AWS emulator, runtime and benchmark"
    )
    tasks = (
        f"text-to-image, 64x64, 1 step, {image_seconds:g} s an image, one runtime, by REST"
        " over kept connections; no trace exporter unless the environment names one"
    )
    ran = [
        f"{level.in_flight} in flight: {level.tasks} tasks, of which the {level.timed} that"
        f" were submitted to a full level are timed; {level.tasks_a_second:.1f} tasks a second"
        for level in levels
    ]
    return [f"Machine: {machine}.", f"Tasks: {tasks}.", *(f"{line}." for line in ran)]


def markdown(levels: Sequence[Level], image_seconds: float) -> str:
    """The section of a document, without its marks."""
    tables = [f"**{grid.title}**\n\n{grid.markdown()}" for grid in grids(levels)]
    return "\n\n".join([_listed(conditions(levels, image_seconds)), *tables, _listed(MEANINGS)])


def as_json(levels: Sequence[Level], image_seconds: float) -> str:
    """The figures for programs; CPU and times are in milliseconds."""
    return json.dumps(
        {
            "conditions": conditions(levels, image_seconds),
            "levels": [asdict(level) for level in levels],
        },
        indent=2,
    )


def replace_section(document: str, section: str, marks: Marks = OVERHEAD) -> str:
    """The document with what is between the marks replaced; without marks, appended.

    Raises `CommandError` if the marks are not one pair in order.
    """
    marked = f"{marks.begin}\n\n{section}\n\n{marks.end}"
    begins, ends = document.count(marks.begin), document.count(marks.end)
    if begins == ends == 0:
        return f"{document.rstrip()}\n\n{marked}\n".lstrip()
    before, _, rest = document.partition(marks.begin)
    _, end, after = rest.partition(marks.end)
    if begins != 1 or ends != 1 or not end:
        raise CommandError(f"needs one '{marks.begin}' and one '{marks.end}' after it")
    return before + marked + after


def _cpu(title: str, levels: Sequence[Level], names: Iterable[str], *, total: bool) -> Grid:
    rows = [(name, *(f"{level.cpu[name]:.1f}" for level in levels)) for name in names]
    if total:
        sums = (sum(level.cpu[name] for name in SERVICES) for level in levels)
        rows.append(("together", *(f"{value:.1f}" for value in sums)))
    header = ("process", *(f"{level.in_flight} in flight" for level in levels))
    return Grid(title=title, header=header, rows=rows)


def _times(levels: Sequence[Level]) -> Grid:
    header, rows = ["time"], [[name] for name in MEASURES]
    for level in levels:
        header += [f"{level.in_flight} in flight, {name}" for name in ("p50", "p99")]
        for row in rows:
            time = level.times[row[0]]
            row += [f"{time.p50:.0f}", f"{time.p99:.0f}"]
    return Grid(title="Milliseconds", header=tuple(header), rows=[tuple(row) for row in rows])


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
