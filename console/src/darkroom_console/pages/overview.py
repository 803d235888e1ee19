"""The first page: what each runtime is doing."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from darkroom_console.render import render
from darkroom_console.stack import stack_of

router = APIRouter()


@router.get("/")
async def overview(request: Request) -> Response:
    """Each runtime: what waits, what runs, what was done in the last hour and today."""
    stack = stack_of(request)
    found = await stack.ask(stack.client.overview())
    return render(request, "overview.html", page="/", overview=found)
