"""Server-sent events: a task's state and progress while they change."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Final

from fastapi import Header
from pydantic import BeforeValidator, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Change, is_terminal
from ingest.http import views
from ingest.watch import Watches

_KEEP_ALIVE: Final = timedelta(seconds=15)
_SEND: Final = timedelta(seconds=30)  # a client that takes nothing for so long is gone
_DIGITS: Final = 18  # of a sequence, so that it fits 64 bits


def _sequence(text: str) -> int:
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return int(text)
    raise ValueError("must be the id of an earlier event")


LastEventId = Annotated[
    Annotated[int, Field(ge=0)],
    BeforeValidator(_sequence),
    Header(
        alias="Last-Event-ID",
        description="The id of the last event that was received; only later ones are sent.",
    ),
]


async def events(
    watches: Watches, task: TaskRecord, after: int, *, keep_alive: timedelta = _KEEP_ALIVE
) -> Response:
    """The stream of a task beyond the sequence `after`.

    It has status 204 if nothing can follow: that tells a browser not to come again.
    Raises `TransientError` if there is no room for another stream.
    """
    watches.check_room()
    if is_terminal(task) and after and not [c async for c in watches.follow(task.uid, after)]:
        return Response(status_code=204)
    return EventSourceResponse(
        _stream(watches, task.uid, after),
        ping=keep_alive.total_seconds(),
        ping_message_factory=lambda: ServerSentEvent(comment="keep-alive"),
        send_timeout=_SEND.total_seconds(),
        sep="\n",
    )


async def _stream(
    watches: Watches, uid: str, after: int
) -> AsyncGenerator[ServerSentEvent, None]:
    async with aclosing(watches.follow(uid, after)) as changes:
        async for change in changes:
            yield _event(change)


def _event(change: Change) -> ServerSentEvent:
    task = change.task
    view: views.View
    if change.state_changed or not task.HasField("progress"):
        name, view = "state", views.TaskView.of(task)
    else:
        name, view = "progress", views.ProgressEvent.of(task)
    return ServerSentEvent(view.text(), event=name, id=str(change.sequence), sep="\n")
