"""`darkroom status`, `tasks`, `watch` and `cancel`: what becomes of tasks."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from darkroom_cli.api import TERMINAL, Api
from darkroom_cli.embedded.folder import Running
from darkroom_cli.errors import CommandError
from darkroom_cli.terminal import DataDir, notes, out, run, running_stack

TaskName = Annotated[str, typer.Argument(metavar="ID", help="A uid, or your own id.")]


def status(task: TaskName, data_dir: DataDir = None) -> None:
    """Print one task as JSON.

    Example: darkroom status demo-t2i
    """

    async def show(running: Running) -> None:
        async with Api(running.endpoint, running.api_key) as api:
            out.print_json(data=await api.task(task))

    run(show(running_stack(data_dir)))


def tasks(
    runtime: Annotated[str | None, typer.Option(help="Only tasks of this runtime.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only tasks that are queued, running, completed, failed, cancelled."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1, max=100)] = 20,
    data_dir: DataDir = None,
) -> None:
    """List tasks, newest first.

    Example: darkroom tasks --state failed
    """

    async def show(running: Running) -> None:
        table = Table("created", "uid", "id", "runtime", "state", "attempt", "error")
        async with Api(running.endpoint, running.api_key) as api:
            for task in await api.tasks(runtime=runtime, state=state, limit=limit):
                error = task["error"]
                table.add_row(
                    task["created_at"],
                    task["uid"],
                    task["id"],
                    task["runtime"],
                    task["state"],
                    str(task["attempt"]),
                    f"{error['code']}: {error['message']}" if error else "",
                )
        out.print(table)

    run(show(running_stack(data_dir)))


def watch(task: TaskName, data_dir: DataDir = None) -> None:
    """Show a task's progress until it has ended, then print it as JSON.

    Exits with 1 if it did not complete. Example: darkroom watch demo-t2i
    """

    async def follow(running: Running) -> None:
        async with Api(running.endpoint, running.api_key) as api:
            ended = await _follow(api, task)
            out.print_json(data=ended)
            if ended["state"] != "completed":
                reason = f": {ended['error']['message']}" if ended["error"] else ""
                raise CommandError(f"the task is {ended['state']}{reason}")

    run(follow(running_stack(data_dir)))


async def _follow(api: Api, name: str) -> dict[str, Any]:
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


def cancel(task: TaskName, data_dir: DataDir = None) -> None:
    """Take a task back: a queued one never runs, a running one is interrupted.

    Example: darkroom cancel demo-t2i
    """

    async def take_back(running: Running) -> None:
        async with Api(running.endpoint, running.api_key) as api:
            out.print_json(data=await api.cancel(task))

    run(take_back(running_stack(data_dir)))
