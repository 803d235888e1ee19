"""The page of keys, webhooks and usage, for those who run a tenant or a stack."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

from fastapi import APIRouter, Form, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from darkroom_client import DarkroomError, Forbidden
from darkroom_console.render import moment, render, said
from darkroom_console.stack import NotToldError, Stack, stack_of

T = TypeVar("T")

router = APIRouter()

EVENTS: Final = ("completed", "failed", "cancelled")
ACT_SECONDS: Final = 20.0
Id = Annotated[str, Path(max_length=64)]


class Span(BaseModel):
    """Of which days usage is shown, and by what."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    first: date | None = Field(default=None, alias="from")
    last: date | None = Field(default=None, alias="to")
    by: Literal["tenant", "runtime", "key"] = "tenant"


@router.get("/access")
async def access(request: Request, span: Annotated[Span, Query()]) -> Response:
    """Keys, webhooks and what was used; what the key may not see is said to be so."""
    stack = stack_of(request)
    client = stack.client
    last = span.last or datetime.now(UTC).date()
    first = span.first or last.replace(day=1)
    keys, no_keys = await _if_allowed(stack, client.keys())
    webhooks, no_webhooks = await _if_allowed(stack, client.webhooks())
    usage, no_usage = await _if_allowed(stack, client.usage(first, last, group_by=span.by))
    return render(
        request,
        "access.html",
        page="/access",
        keys=keys,
        no_keys=no_keys,
        webhooks=webhooks,
        no_webhooks=no_webhooks,
        usage=usage,
        no_usage=no_usage,
        first=first,
        last=last,
        by=span.by,
        events=EVENTS,
        runtimes=await stack.ask(client.runtimes()),
    )


async def _if_allowed(stack: Stack, call: Awaitable[T]) -> tuple[T | None, str]:
    """An answer, or why there is none though the stack is there."""
    try:
        return await stack.ask(call), ""
    except NotToldError:
        return None, "This stack does not tell it."
    except Forbidden as error:
        return None, error.detail
    except DarkroomError as error:
        if error.temporary or error.status is None:
            raise
        return None, error.detail


@router.post("/webhooks")
async def add(
    request: Request,
    url: Annotated[str, Form(max_length=2048)],
    event: Annotated[list[str] | None, Form(max_length=3)] = None,
    runtime: Annotated[str, Form(max_length=128)] = "",
) -> Response:
    """Add a webhook and show its secret, this once."""
    stack = stack_of(request)
    call = stack.client.add_webhook(url, events=event or EVENTS, runtime=runtime or None)
    added = await stack.ask(call, seconds=ACT_SECONDS)
    return said(
        request,
        f"{added.id} is told from now on. Its secret, which is not told again: {added.secret}",
    )


@router.post("/webhooks/{webhook}/remove")
async def remove(request: Request, webhook: Id) -> Response:
    """Remove a webhook."""
    stack = stack_of(request)
    removed = await stack.ask(stack.client.remove_webhook(webhook), seconds=ACT_SECONDS)
    return said(request, f"{removed.url} is told nothing more.")


@router.post("/webhooks/{webhook}/rotate")
async def rotate(request: Request, webhook: Id) -> Response:
    """Give a webhook a new secret and show it, this once."""
    stack = stack_of(request)
    new = await stack.ask(stack.client.rotate_webhook(webhook), seconds=ACT_SECONDS)
    return said(
        request,
        f"The new secret, which is not told again: {new.secret}",
        f"The former one is good until {moment(new.old_until)}.",
    )


@router.post("/webhooks/{webhook}/test")
async def test(request: Request, webhook: Id) -> Response:
    """Have a test sent."""
    stack = stack_of(request)
    uid = await stack.ask(stack.client.test_webhook(webhook), seconds=ACT_SECONDS)
    return said(request, f"The test {uid} is on its way; its deliveries tell what came of it.")


@router.post("/webhooks/{webhook}/replay")
async def replay(
    request: Request, webhook: Id, hours: Annotated[int, Form(ge=1, le=720)] = 24
) -> Response:
    """Have the ends of tasks of the last hours sent again."""
    stack = stack_of(request)
    since = datetime.now(UTC) - timedelta(hours=hours)
    await stack.ask(stack.client.replay_webhook(webhook, since), seconds=ACT_SECONDS)
    return said(request, f"What ended since {moment(since)} is sent again.")


@router.get("/webhooks/{webhook}/deliveries")
async def deliveries(request: Request, webhook: Id) -> Response:
    """What became of its newest events."""
    stack = stack_of(request)
    found = await stack.ask(stack.client.deliveries(webhook))
    return render(request, "deliveries.html", page="/access", webhook=webhook, deliveries=found)
