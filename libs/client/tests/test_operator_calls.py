from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from stub_server import BREAK, Reply, StubServer, accepted, problem

from darkroom_client import RequestNotKept, Unreachable


def test_overview_is_typed_and_what_nobody_knows_is_none(
    darkroom: Any, server: StubServer
) -> None:
    hour = {"completed": 1, "failed": 0, "cancelled": 0, "images": 2, "gpu_seconds": 1.5,
            "minutes": [0] * 59 + [1]}  # fmt: skip
    today = {"tasks": 3, "images": 4, "gpu_seconds": 2,
             "cost": {"currency": "USD", "amount": "0.000207"}}  # fmt: skip
    runtime = {"name": "canvas", "type": "sdwebui", "queued": 7, "running": None,
               "oldest_wait_seconds": 12.5, "dead_letters": 0}  # fmt: skip
    told = {"at": "2026-01-02T03:04:05.000Z", "webhook_dead_letters": None}
    seen = {**runtime, "last_hour": hour, "today": today}
    server.on("GET /v1/overview", Reply({**told, "runtimes": [seen, {**seen, "today": {}}]}))

    overview = darkroom.overview()

    assert overview.at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    canvas, other = overview.runtimes
    assert (canvas.queued, canvas.running, canvas.oldest_wait_seconds) == (7, None, 12.5)
    assert (len(canvas.last_hour.minutes), canvas.last_hour.minutes[-1]) == (60, 1)
    assert canvas.today.cost.amount == Decimal("0.000207")
    assert other.today.tasks == 0


def test_dead_letters_are_typed(darkroom: Any, server: StubServer) -> None:
    letter = {"message_id": "m1", "runtime": "canvas", "uid": None, "id": None,
              "since": "2026-01-02T03:04:05Z", "reason": "why", "body": "garbage"}  # fmt: skip
    server.on("GET /v1/dead-letters?runtime=canvas&limit=7", Reply({"dead_letters": [letter]}))

    [found] = darkroom.dead_letters(runtime="canvas", limit=7)

    assert (found.message_id, found.uid, found.reason) == ("m1", None, "why")
    assert "garbage" not in repr(found)


def test_messages_are_redriven_and_purged_by_name_or_all(
    darkroom: Any, server: StubServer
) -> None:
    kept = {"message_id": "m1", "outcome": "kept", "uid": None, "reason": "why"}
    server.on("POST /v1/dead-letters/redrive", Reply({"results": [kept]}))
    server.on("POST /v1/dead-letters/purge", Reply({"results": []}))

    [result] = darkroom.redrive(["m1"], runtime="canvas")
    assert (result.outcome, result.reason) == ("kept", "why")
    assert darkroom.purge(None) == []

    assert [json.loads(asked.body) for asked in server.asked] == [
        {"runtime": "canvas", "messages": ["m1"]},
        {"runtime": None, "messages": None},
    ]


def test_redrive_whose_answer_is_lost_is_not_made_again(
    darkroom: Any, server: StubServer
) -> None:
    server.on("POST /v1/dead-letters/redrive", BREAK, Reply({"results": []}))

    with pytest.raises(Unreachable):
        darkroom.redrive(None)


def test_request_of_a_task_is_what_submit_takes(darkroom: Any, server: StubServer) -> None:
    body = {"task": {"metadata": {"id": "first"}, "content": {}}}
    server.on("GET /v1/tasks/first/request", Reply(body))
    server.on("GET /v1/tasks/second/request", problem("request_not_kept", 404))
    server.on("POST /v1alpha2", Reply(accepted()))

    darkroom.submit(darkroom.task_request("first"))
    with pytest.raises(RequestNotKept):
        darkroom.task_request("second")

    assert json.loads(server.asked[1].body) == body
