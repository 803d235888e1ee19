"""How far a file is, shown as a bar on a terminal and told in lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

STEP_PERCENT: Final = 10
STEP_BYTES: Final = 2**30  # of a file whose size nobody tells
MIB: Final = 2**20

Passed = Callable[[int], None]
"""Told how many bytes of the file are done."""
Shown = Callable[[str, int | None], AbstractContextManager[Passed]]
"""Shows the file of that name and size for the length of the block."""


def shown_on(console: Console, tell: Callable[[str], None]) -> Shown:
    """A bar on a terminal; without one, `tell` has a line for each step."""
    if not console.is_terminal:
        return lines(tell)

    @contextmanager
    def bar(name: str, size_bytes: int | None) -> Iterator[Passed]:
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(),
            TransferSpeedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(name, total=size_bytes)
            yield lambda done: progress.update(task, completed=done)

    return bar


def lines(tell: Callable[[str], None]) -> Shown:
    """A line for each tenth of a file, or for each GiB."""

    @contextmanager
    def steps(name: str, size_bytes: int | None) -> Iterator[Passed]:
        yield _Steps(name, size_bytes, tell).passed

    return steps


class _Steps:
    def __init__(self, name: str, of: int | None, tell: Callable[[str], None]) -> None:
        self._name, self._of, self._tell = name, of, tell
        self._begun = time.monotonic()
        self._step = 0

    def passed(self, size: int) -> None:
        step = 100 * size // self._of // STEP_PERCENT if self._of else size // STEP_BYTES
        if step > self._step:
            self._step = step
            speed = size / MIB / max(time.monotonic() - self._begun, 0.001)
            whole = f" of {self._of / MIB:.0f}" if self._of else ""
            self._tell(f"{self._name}: {size / MIB:.0f}{whole} MiB, {speed:.0f} MiB/s")
