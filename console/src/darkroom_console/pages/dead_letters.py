"""The page of messages that were given up: why, and what becomes of them."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from darkroom_client import DeadLetterResult
from darkroom_console.render import is_part, render, said
from darkroom_console.stack import stack_of

router = APIRouter()

ACT_SECONDS: Final = 60.0
MOST: Final = 100


@router.get("/dead-letters")
async def dead_letters(
    request: Request, runtime: Annotated[str, Query(max_length=128)] = ""
) -> Response:
    """What lies there."""
    stack = stack_of(request)
    letters = await stack.ask(stack.client.dead_letters(runtime=runtime or None))
    runtimes = [] if is_part(request) else await stack.ask(stack.client.runtimes())
    return render(
        request,
        "dead_letters.html",
        page="/dead-letters",
        letters=letters,
        runtime=runtime,
        runtimes=runtimes,
    )


@router.post("/dead-letters")
async def act(
    request: Request,
    what: Annotated[Literal["redrive", "purge"], Form()],
    runtime: Annotated[str, Form(max_length=128)] = "",
    message: Annotated[list[str] | None, Form(max_length=MOST)] = None,
    everything: Annotated[bool, Form()] = False,
) -> Response:
    """Send messages again, or remove them; those that are chosen, or all."""
    if not (message or everything):
        return said(request, "Nothing was chosen.", refresh=False)
    client = stack_of(request).client
    do = client.redrive if what == "redrive" else client.purge
    chosen = None if everything else message
    results = await stack_of(request).ask(
        do(chosen, runtime=runtime or None), seconds=ACT_SECONDS
    )
    counted = Counter(_told(each) for each in results)
    return said(request, *(f"{count} {outcome}." for outcome, count in counted.items()))


def _told(result: DeadLetterResult) -> str:
    outcome = result.outcome.replace("_", " ")
    return f"{outcome}: {result.reason}" if result.reason else outcome
