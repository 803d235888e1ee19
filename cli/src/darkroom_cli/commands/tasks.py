"""`darkroom status`, `tasks`, `watch` and `cancel`: what becomes of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    Endpoint,
    KeyFile,
    call,
    notes,
    out,
    show_json,
    show_rows,
)

if TYPE_CHECKING:
    from darkroom_cli.api import Api

TaskName = Annotated[str, typer.Argument(metavar="ID", help="A uid, or your own id.")]


def status(
    task: TaskName,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Print one task as JSON.

    Example: darkroom status demo-t2i
    """

    async def show(api: Api) -> None:
        out.print_json(data=await api.task(task))

    call(show, endpoint, api_key_file, data_dir)


def tasks(
    runtime: Annotated[str | None, typer.Option(help="Only tasks of this runtime.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only tasks that are queued, running, completed, failed, cancelled."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1, max=100)] = 20,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """List tasks, newest first.

    Examples:

    darkroom tasks --state failed

    darkroom tasks --json --endpoint https://art.example.com/dev --api-key-file art.key
    """

    async def show(api: Api) -> None:
        listed = await api.tasks(runtime=runtime, state=state, limit=limit)
        if as_json:
            show_json(listed)
            return
        columns = ("uid", "id", "runtime", "state", "attempt", "created", "error")
        show_rows([_row(task) for task in listed], *columns, wrapped="error")

    call(show, endpoint, api_key_file, data_dir)


def _row(task: dict[str, Any]) -> dict[str, Any]:
    error = task["error"]
    said = f"{error['code']}: {error['message']}" if error else ""
    return {**task, "created": task["created_at"], "error": said}


def watch(
    task: TaskName,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Show a task's progress until it has ended, then print it as JSON.

    Exits with 1 if it did not complete. Example: darkroom watch demo-t2i
    """

    async def follow(api: Api) -> None:
        ended = await _follow(api, task)
        out.print_json(data=ended)
        if ended["state"] != "completed":
            reason = f": {ended['error']['message']}" if ended["error"] else ""
            raise CommandError(f"the task is {ended['state']}{reason}")

    call(follow, endpoint, api_key_file, data_dir)


async def _follow(api: Api, name: str) -> dict[str, Any]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from darkroom_cli.api import TERMINAL

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]:<10}"),
        TimeElapsedColumn(),
    )
    last: dict[str, Any] = {}
    with Progress(*columns, console=notes) as bars:
        bar = bars.add_task(name, total=100, state="")
        async for event, content in api.events(name):
            if event == "progress":
                bars.update(bar, completed=content["percent"])
            else:
                last = content
                done = 100 if content["state"] == "completed" else None
                bars.update(bar, state=content["state"], completed=done)
    if last.get("state") not in TERMINAL:
        raise CommandError("the stream of events ended before the task did")
    return last


def cancel(
    task: TaskName,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Take a task back: a queued one never runs, a running one is interrupted.

    Example: darkroom cancel demo-t2i
    """

    async def take_back(api: Api) -> None:
        out.print_json(data=await api.cancel(task))

    call(take_back, endpoint, api_key_file, data_dir)
