"""Server-sent events: a task's state and progress while they change."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Final

from fastapi import Header
from pydantic import AfterValidator
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Change, is_terminal
from ingest.http import views
from ingest.watch import Watches

_KEEP_ALIVE: Final = timedelta(seconds=15)
_SEND: Final = timedelta(seconds=30)  # a client that takes nothing for so long is gone
# The uid, since a client's id can name another submission when it comes again. A number alone
# is of the task that is asked for. 18 digits fit 64 bits.
_EVENT_ID: Final = re.compile(r"(?:([0-9A-Z]{26})-)?([0-9]{1,18})")


def _event_id(text: str) -> str:
    if text and not _EVENT_ID.fullmatch(text):
        raise ValueError("must be the id of an earlier event")
    return text


LastEventId = Annotated[
    str,
    AfterValidator(_event_id),
    Header(
        alias="Last-Event-ID",
        description="The id of the last event that was received; only later ones are sent. "
        "All are, if it was one of another task.",
    ),
]


def sequence_after(last_event_id: str, uid: str) -> int:
    """Beyond which sequence the task's events are wanted."""
    found = _EVENT_ID.fullmatch(last_event_id)
    return int(found[2]) if found and found[1] in {None, uid} else 0


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
    return ServerSentEvent(
        view.text(), event=name, id=f"{task.uid}-{change.sequence}", sep="\n"
    )
