"""How far a file is, shown as a bar on a terminal and told in lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

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


class Shown(Protocol):
    """Shows how far a file is for the length of a block."""

    def __call__(
        self, name: str, size_bytes: int | None, start: int = 0
    ) -> AbstractContextManager[Passed]:
        """Of that name and size; its first `start` bytes are done already."""


def shown_on(console: Console, tell: Callable[[str], None]) -> Shown:
    """A bar on a terminal; without one, `tell` has a line for each step."""
    if not console.is_terminal:
        return lines(tell)

    @contextmanager
    def bar(name: str, size_bytes: int | None, start: int = 0) -> Iterator[Passed]:
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(),
            TransferSpeedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(name, total=size_bytes, completed=start)
            yield lambda done: progress.update(task, completed=done)

    return bar


def lines(tell: Callable[[str], None]) -> Shown:
    """A line for each tenth of a file, or for each GiB."""

    @contextmanager
    def steps(name: str, size_bytes: int | None, start: int = 0) -> Iterator[Passed]:
        yield _Steps(name, size_bytes, start, tell).passed

    return steps


class _Steps:
    def __init__(
        self, name: str, of: int | None, start: int, tell: Callable[[str], None]
    ) -> None:
        self._name, self._of, self._start, self._tell = name, of, start, tell
        self._begun = time.monotonic()
        self._step = self._step_at(start)

    def passed(self, size: int) -> None:
        step = self._step_at(size)
        if step > self._step:
            self._step = step
            speed = (size - self._start) / MIB / max(time.monotonic() - self._begun, 0.001)
            whole = f" of {self._of / MIB:.0f}" if self._of else ""
            self._tell(f"{self._name}: {size / MIB:.0f}{whole} MiB, {speed:.0f} MiB/s")

    def _step_at(self, size: int) -> int:
        return 100 * size // self._of // STEP_PERCENT if self._of else size // STEP_BYTES
