"""How commands read what runs here, speak to the terminal, and end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from darkroom_cli.errors import CommandError
from servicekit.errors import AppError

if TYPE_CHECKING:
    from darkroom_cli.api import Api
    from darkroom_cli.embedded.folder import Folder, Running

T = TypeVar("T")
# A pipe has no width: tables are written whole.
out = Console(width=None if sys.stdout.isatty() else 240)
notes = Console(stderr=True)

WIDEST = 10_000

Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        help="URL of the REST API, for a stack that does not run here.",
        show_default=False,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        help="File of the key for --endpoint; without it DARKROOM_API_KEY is the key.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where state, logs and keys are kept.", show_default=False),
]


def folder_of(path: Path | None) -> Folder:
    """The data folder that was named, or the user's own."""
    from darkroom_cli.embedded.folder import Folder, default_folder

    return Folder((path or default_folder()).absolute())


def say(text: str) -> None:
    """Tell progress on standard error."""
    notes.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


def running_stack(data_dir: Path | None) -> Running:
    """The stack that runs here; ends the command if there is none."""
    return attempt(folder_of(data_dir).running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The stack that a command speaks to."""

    endpoint: str
    api_key: str = field(repr=False)
    running: Running | None = None  # None: it does not run here

    def api(self, *, retry_seconds: float = 0) -> Api:
        """A client; only what is elsewhere may be behind this user's proxy."""
        from darkroom_cli.api import Api

        return Api(
            self.endpoint,
            self.api_key,
            trust_env=self.running is None,
            retry_seconds=retry_seconds,
        )


def target(endpoint: str | None, api_key_file: Path | None, data_dir: Path | None) -> Target:
    """The stack at `endpoint`, or the one that runs here; ends the command without one.

    A key comes from a file or DARKROOM_API_KEY: other users can see command lines.
    """
    if endpoint is None:
        if api_key_file is not None:
            fail("--api-key-file needs --endpoint: the stack that runs here has its own key")
        running = running_stack(data_dir)
        return Target(endpoint=running.endpoint, api_key=running.api_key, running=running)
    try:
        parts = urlsplit(endpoint)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        fail(f"--endpoint {endpoint}: is no http:// or https:// URL")
    return Target(endpoint=endpoint, api_key=_api_key(api_key_file))


def _api_key(file: Path | None) -> str:
    if file is None:
        source, text = "DARKROOM_API_KEY", os.environ.get("DARKROOM_API_KEY", "")
        if not text:
            fail("--endpoint needs an API key: --api-key-file FILE, or DARKROOM_API_KEY")
    else:
        source = f"--api-key-file {file}"
        try:
            text = file.read_text(errors="replace")
        except OSError as error:
            fail(f"{source}: {error.strerror}")
    key = text.strip()
    if not key or not all("!" <= character <= "~" for character in key):
        fail(f"{source}: is no API key")
    return key


def call(
    work: Callable[[Api], Coroutine[Any, Any, None]],
    endpoint: str | None,
    api_key_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Run a command that needs the REST API only, to its end."""
    from darkroom_cli.api import told

    chosen = target(endpoint, api_key_file, data_dir)

    async def connected() -> None:
        with told():
            async with chosen.api() as api:
                await work(api)

    run(connected())


def show_rows(rows: Sequence[Mapping[str, object]], *columns: str, wrapped: str) -> None:
    """Print a table whose cells are whole, so that names can be pasted; `wrapped` may break.

    Where the terminal is too narrow for that, its lines are longer than the terminal is wide.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column != wrapped, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(row[column])) for column in columns))
    needed = Measurement.get(out, out.options.update(max_width=WIDEST), table).minimum
    Console(width=max(out.width, needed)).print(table)


def show_json(value: object) -> None:
    """Print JSON for programs."""
    typer.echo(json.dumps(value, indent=2))


def use_aws_of(running: Running) -> None:
    """Point the SDK of this process to the AWS of a stack."""
    from provisioning import emulator

    if running.aws_endpoint_url:
        os.environ["AWS_ENDPOINT_URL"] = running.aws_endpoint_url
        for name, value in emulator.CREDENTIALS.items():
            os.environ.setdefault(name, value)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end; a known failure is one sentence and its exit status."""
    try:
        asyncio.run(work)
    except* (CommandError, AppError) as failed:
        error = _first(failed)
        fail(error, status=error.status if isinstance(error, CommandError) else 1)


def attempt(read: Callable[[], T]) -> T:
    """What `read` gives; ends the command with its `CommandError`."""
    try:
        return read()
    except CommandError as error:
        fail(error)


def fail(*reasons: object, status: int = 1) -> NoReturn:
    """End the command with a sentence for each reason."""
    for reason in reasons:
        notes.print(f"darkroom: {reason}", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(status)


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
