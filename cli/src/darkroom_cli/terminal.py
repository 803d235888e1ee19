"""How commands read what runs here, speak to the terminal, and end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from darkroom_cli.embedded.folder import Folder, Running, default_folder
from darkroom_cli.errors import CommandError
from provisioning import emulator
from servicekit.errors import AppError

T = TypeVar("T")
# A pipe has no width: tables are written whole.
out = Console(width=None if sys.stdout.isatty() else 240)
notes = Console(stderr=True)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where state, logs and keys are kept.", show_default=False),
]


def folder_of(path: Path | None) -> Folder:
    """Give the data folder that was named, or the user's own."""
    return Folder((path or default_folder()).absolute())


def say(text: str) -> None:
    """Tell progress on standard error."""
    notes.print(f"[dim]{text}[/dim]", highlight=False)


def running_stack(data_dir: Path | None) -> Running:
    """Give the stack that runs here; ends the command if there is none."""
    return attempt(folder_of(data_dir).running)


def use_aws_of(running: Running) -> None:
    """Point the SDK of this process to the AWS of a stack."""
    if running.aws_endpoint_url:
        os.environ["AWS_ENDPOINT_URL"] = running.aws_endpoint_url
        for name, value in emulator.CREDENTIALS.items():
            os.environ.setdefault(name, value)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end; a known failure is one sentence and exit status 1."""
    try:
        asyncio.run(work)
    except* (CommandError, AppError) as failed:
        fail(_first(failed))


def attempt(read: Callable[[], T]) -> T:
    """Give what `read` gives; ends the command with its `CommandError`."""
    try:
        return read()
    except CommandError as error:
        fail(error)


def fail(reason: object) -> NoReturn:
    """End the command with one sentence and exit status 1."""
    notes.print(f"darkroom: {reason}", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
