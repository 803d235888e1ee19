"""The page of one task, and its files."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from darkroom_client import DarkroomError, Task
from darkroom_console.files import Files
from darkroom_console.render import is_part, pretty, render, said
from darkroom_console.stack import NotToldError, Stack, stack_of

router = APIRouter()

MISSING: Final = 404
Name = Annotated[str, Path(max_length=128)]


@router.get("/tasks/{name}")
async def task(request: Request, name: Name) -> Response:
    """One task, by uid or id; live until it has ended."""
    stack = stack_of(request)
    found = await stack.ask(stack.client.task(name))
    asked, unknown = None, ""
    if not is_part(request):
        asked, unknown = await _request(stack, found)
    return render(
        request,
        "task.html",
        page="/tasks",
        task=found,
        asked=asked,
        unknown=unknown,
        prompt=prompt_of(asked or {}),
    )


async def _request(stack: Stack, task: Task) -> tuple[dict[str, Any] | None, str]:
    """What was asked for, or why that is not known."""
    try:
        return await stack.ask(stack.client.task_request(task.uid)), ""
    except NotToldError:
        return None, "This stack does not tell what was asked for."
    except DarkroomError as error:
        if error.status != MISSING:
            raise
        return None, error.detail


def prompt_of(request: dict[str, Any]) -> str:
    """The words of a request of SD WebUI; empty where they are in a workflow."""
    content = request.get("task", request)
    content = content.get("content", content) if isinstance(content, dict) else {}
    prompt = content.get("prompt") if isinstance(content, dict) else None
    return prompt if isinstance(prompt, str) else ""


@router.get("/tasks/{name}/files/{number}")
async def file(
    request: Request,
    name: Name,
    number: Annotated[int, Path(ge=1, le=10_000)],
    download: bool = False,
) -> Response:
    """One image of a task."""
    stack, files = stack_of(request), _files(request)
    task = await stack.ask(stack.client.task(name))
    links = await stack.ask(stack.client.links(task.uid)) if task.image_url else []
    there = min(len(task.image_url), len(links))
    if number > there:
        raise DarkroomError(f"the task has {there} files", status=MISSING)
    kept = PurePosixPath(task.image_url[number - 1]).name
    plain = "".join(each if each.isalnum() or each in "._-" else "_" for each in kept)
    return await files.picture(
        links[number - 1], plain.encode("ascii", "replace").decode(), download=download
    )


@router.get("/tasks/{name}/out")
async def out(request: Request, name: Name) -> Response:
    """The `.out` of a task, as text."""
    stack, files = stack_of(request), _files(request)
    links = await stack.ask(stack.client.links(name))
    text = await files.text(links[-1]) if links else ""
    with suppress(ValueError):  # then as it is
        text = pretty(json.loads(text))
    return render(request, "text.html", page="", text=text)


@router.post("/tasks/{name}/cancel")
async def cancel(request: Request, name: Name) -> HTMLResponse:
    """Take one task back."""
    stack = stack_of(request)
    task = await stack.ask(stack.client.cancel(name), seconds=30)
    return said(request, "It is taken back." if task.ended else "It is being interrupted.")


def _files(request: Request) -> Files:
    files: Files = request.app.state.files
    return files
