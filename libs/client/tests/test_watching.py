from __future__ import annotations

import json
from typing import Any

import pytest
from stub_server import BREAK, UID, Reply, StubServer, problem, task

from darkroom_client import (
    DarkroomError,
    ProgressEvent,
    StateEvent,
    TaskNotFound,
    Unavailable,
    Unreachable,
)

EVENTS = "GET /v1/tasks/first/events"
STREAM = {"content-type": "text/event-stream"}


def event(number: int, kind: str, **content: Any) -> str:
    return f"id: {UID}-{number}\nevent: {kind}\ndata: {json.dumps(content)}\n\n"


def state(number: int, name: str) -> str:
    return event(number, "state", **task(state=name))


def progress(number: int, percent: float) -> str:
    step = {"step": 1, "total": 2, "percent": percent}
    return event(number, "progress", uid=UID, attempt=1, **step)


def stream(*events: str, cut: bool = False) -> Reply:
    return Reply("".join(events).encode(), headers=STREAM, cut=cut)


def test_events_are_typed_and_end_with_the_task(darkroom: Any, server: StubServer) -> None:
    server.on(EVENTS, stream(state(1, "queued"), progress(2, 50), state(3, "completed")))

    queued, half, done = darkroom.watch("first")

    assert isinstance(queued, StateEvent)
    assert queued.task.state == "queued"
    assert isinstance(half, ProgressEvent)
    assert half.percent == 50
    assert done.task.ended
    assert len(server.asked) == 1


@pytest.mark.parametrize("cut", [True, False])
def test_stream_that_breaks_goes_on_after_the_last_event(
    cut: bool, darkroom: Any, server: StubServer
) -> None:
    server.on(
        EVENTS,
        stream(state(1, "queued"), progress(2, 10), ": keep-alive\n\n", cut=cut),
        BREAK,
        problem("unavailable", 503),
        stream(progress(3, 90), state(4, "failed")),
    )

    events = list(darkroom.watch("first"))

    assert len(events) == 4
    asked = [each.headers.get("last-event-id") for each in server.asked]
    assert asked == [None, f"{UID}-2", f"{UID}-2", f"{UID}-2"]


def test_event_of_a_newer_server_is_passed_over(darkroom: Any, server: StubServer) -> None:
    server.on(EVENTS, stream(event(1, "preview", image="x"), state(2, "completed")))

    assert len(list(darkroom.watch("first"))) == 1


def test_nothing_more_to_come_is_the_end(darkroom: Any, server: StubServer) -> None:
    server.on(EVENTS, stream(progress(1, 10)), Reply(b"", 204))

    assert len(list(darkroom.watch("first"))) == 1


def test_stream_that_stays_broken_is_given_up(darkroom: Any, server: StubServer) -> None:
    server.on(EVENTS, stream(state(1, "queued")), stream())

    with pytest.raises(Unavailable, match="ended before the task did"):
        list(darkroom.watch("first", resume_seconds=0.5))


def test_server_that_is_gone_is_given_up(darkroom: Any, server: StubServer) -> None:
    server.on(EVENTS, stream(state(1, "queued")), BREAK)

    with pytest.raises(Unreachable):
        list(darkroom.watch("first", resume_seconds=0.5))


def test_task_that_is_not_there_is_told_at_once(darkroom: Any, server: StubServer) -> None:
    server.on(EVENTS, problem("task_not_found", 404))

    with pytest.raises(TaskNotFound):
        list(darkroom.watch("first"))
    assert len(server.asked) == 1


def test_event_that_is_none_is_one_sentence(darkroom: Any, server: StubServer) -> None:
    server.on(EVENTS, stream("event: state\ndata: {\n\n"))

    with pytest.raises(DarkroomError, match="is no Darkroom"):
        list(darkroom.watch("first"))


def test_watch_that_is_left_early_closes_its_connection(
    darkroom: Any, server: StubServer
) -> None:
    server.on(EVENTS, stream(state(1, "queued"), state(2, "completed")))

    watching = darkroom.watch("first")
    next(watching)
    watching.close()

    assert list(darkroom.watch("first"))[-1].task.ended
