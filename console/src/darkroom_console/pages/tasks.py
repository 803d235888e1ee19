"""The page of tasks: a live table with filters, and taking many back at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from darkroom_client import AlreadyFinished, DarkroomError, Runtime
from darkroom_console.render import is_part, render, said
from darkroom_console.stack import Stack, stack_of

router = APIRouter()

PAGE: Final = 50
STATES: Final = ("queued", "running", "completed", "failed", "cancelled")
CANCEL_SECONDS: Final = 30.0


class Filters(BaseModel):
    """Which tasks are shown; what is empty does not count."""

    model_config = ConfigDict(frozen=True)

    runtime: str = Field(default="", max_length=128)
    state: str = Field(default="", pattern=f"^({'|'.join(STATES)})?$")
    tenant: str = Field(default="", max_length=128)
    text: str = Field(default="", max_length=128)
    cursor: str = Field(default="", max_length=4096)

    def asked(self) -> dict[str, str]:
        """Those that count."""
        return {name: value for name, value in self.model_dump().items() if value}


@router.get("/tasks")
async def tasks(request: Request, filters: Annotated[Filters, Query()]) -> Response:
    """Some tasks, newest first."""
    stack = stack_of(request)
    asked = filters.asked()
    found = await stack.ask(stack.client.tasks_page(**asked, limit=PAGE))
    runtimes: list[Runtime] = []
    if not is_part(request):
        runtimes = await stack.ask(stack.client.runtimes())
    return render(
        request,
        "tasks.html",
        page="/tasks",
        tasks=found.tasks,
        filters=filters,
        filtered=any(name != "cursor" for name in asked),
        states=STATES,
        runtimes=runtimes,
        next="?" + urlencode({**asked, "cursor": found.cursor}) if found.cursor else None,
        first="?" + urlencode({**asked, "cursor": ""}) if filters.cursor else None,
    )


@router.post("/tasks/cancel")
async def cancel(
    request: Request, uid: Annotated[list[str] | None, Form(max_length=PAGE)] = None
) -> Response:
    """Take tasks back, and say what became of them."""
    if not uid:
        return said(request, "Nothing was chosen.", refresh=False)
    stack = stack_of(request)
    async with asyncio.TaskGroup() as group:
        ends = [
            group.create_task(_cancelled(stack, each), name=f"cancel-{each}") for each in uid
        ]
    counted = Counter(end.result() for end in ends)
    return said(request, *(f"{count} {outcome}." for outcome, count in counted.items()))


async def _cancelled(stack: Stack, uid: str) -> str:
    try:
        task = await stack.ask(stack.client.cancel(uid), seconds=CANCEL_SECONDS)
    except AlreadyFinished:
        return "had ended"
    except DarkroomError as error:
        return f"not taken back: {error.detail}"
    return "taken back" if task.ended else "being interrupted"
