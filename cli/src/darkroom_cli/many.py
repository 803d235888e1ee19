"""Several tasks at once, with a bar for each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from darkroom_cli.errors import CommandError
from darkroom_cli.objects import keep
from darkroom_cli.terminal import notes

if TYPE_CHECKING:
    from darkroom_cli.api import Api

AT_ONCE: Final = 4


async def submit_many(
    api: Api, bodies: Sequence[dict[str, Any]], *, wait: bool, folder: Path | None
) -> list[dict[str, Any]]:
    """Hand tasks in, a few at once, and give the answers, or the tasks if they are waited for.

    Their images are in `folder` then, if there is one. One that fails keeps no other from being
    done. Raises `CommandError` when a call fails.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]:<10}"),
        TimeElapsedColumn(),
    )
    room = asyncio.Semaphore(AT_ONCE)
    with Progress(*columns, console=notes) as bars:

        async def one(body: dict[str, Any]) -> dict[str, Any]:
            async with room:
                answer = await api.post(body)
                name = str(answer.get("id"))
                if not wait:
                    bars.console.print(
                        f"{name}: uid {answer['uid']}", style="dim", markup=False
                    )
                    return answer
                task = await _followed(api, bars, name, answer["uid"])
                if folder is not None and task["state"] == "completed":
                    for image in await api.images(task):
                        await keep(image.content, folder / image.name)
                return task

        async with asyncio.TaskGroup() as group:
            made = [
                group.create_task(one(body), name=f"submit-{n}")
                for n, body in enumerate(bodies)
            ]
    return [each.result() for each in made]


async def _followed(api: Api, bars: Progress, name: str, uid: str) -> dict[str, Any]:
    bar = bars.add_task(name, total=100, state="queued")
    task: dict[str, Any] = {}
    async for event, content in api.events(uid):
        if event == "progress":
            bars.update(bar, completed=content["percent"])
        else:
            task = content
            done = 100 if content["state"] == "completed" else None
            bars.update(bar, state=content["state"], completed=done)
    if not task:
        raise CommandError(f"nothing was told of task {uid}")
    return task
