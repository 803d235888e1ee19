from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from stub_server import BREAK, Reply, StubServer, problem

from darkroom_client import DarkroomError, InvalidRequest, Unavailable, Unreachable

ID = "wh_01M82Y728ZPK76NSE40QBMX7G4"
PATH = f"/v1/webhooks/{ID}"
WEBHOOK = {
    "id": ID, "tenant": "studio", "url": "https://a.example.com/", "events": ["failed"],
    "runtime": None, "state": "active", "created_at": "2026-01-02T00:00:00.000Z",
}  # fmt: skip
NEW = {**WEBHOOK, "secret": "whsec_c2VjcmV0"}


def test_webhook_is_added_and_its_secret_is_not_in_its_text(
    darkroom: Any, server: StubServer
) -> None:
    server.on("POST /v1/webhooks?tenant=studio", Reply(NEW, 201))

    made = darkroom.add_webhook(
        "https://a.example.com/", events=["failed"], runtime="canvas", tenant="studio"
    )

    assert (made.id, made.secret) == (ID, "whsec_c2VjcmV0")
    assert "whsec" not in repr(made)
    assert json.loads(server.asked[0].body) == {
        "url": "https://a.example.com/", "events": ["failed"], "runtime": "canvas"
    }  # fmt: skip


def test_webhooks_and_deliveries_are_typed(darkroom: Any, server: StubServer) -> None:
    delivery = {"uid": "u", "event": "task.failed", "state": "retrying", "tries": 1,
                "status": None, "error": "no", "tried_at": "2026-01-02T00:00:00Z",
                "next_try_at": None}  # fmt: skip
    server.on("GET /v1/webhooks", Reply({"webhooks": [WEBHOOK]}))
    server.on(f"GET {PATH}/deliveries", Reply({"deliveries": [delivery]}))
    server.on(f"DELETE {PATH}", Reply(WEBHOOK))
    server.on(f"POST {PATH}/test", Reply({"uid": "u"}, 202))

    assert [(each.id, each.events) for each in darkroom.webhooks()] == [(ID, ("failed",))]
    assert [(each.state, each.error) for each in darkroom.deliveries(ID)] == [
        ("retrying", "no")
    ]
    assert darkroom.remove_webhook(ID).id == ID
    assert darkroom.test_webhook(ID) == "u"


def test_time_of_a_replay_has_a_zone(darkroom: Any, server: StubServer) -> None:
    since = datetime(2026, 1, 2, tzinfo=timezone.utc)
    server.on(f"POST {PATH}/replay", Reply({"since": "2026-01-02T00:00:00Z", "until": None}))

    assert darkroom.replay_webhook(ID, since).since == since
    darkroom.replay_webhook(ID, datetime(2026, 1, 2), until=since)  # local

    first, second = (json.loads(asked.body) for asked in server.asked)
    assert datetime.fromisoformat(first["since"]) == since
    assert datetime.fromisoformat(second["since"]).utcoffset() is not None
    assert set(second) == {"since", "until"}


@pytest.mark.parametrize("answer", [BREAK, Reply(None, 502), Reply(None, 504)])
def test_call_that_is_not_safe_to_repeat_is_not_made_again(
    answer: Reply, darkroom: Any, server: StubServer
) -> None:
    server.on("POST /v1/webhooks", answer, Reply(NEW, 201))
    server.on(f"POST {PATH}/rotate", answer, Reply({"secret": "s", "old_until": "x"}))

    with pytest.raises((Unreachable, Unavailable)):
        darkroom.add_webhook("https://x")
    with pytest.raises((Unreachable, Unavailable)):
        darkroom.rotate_webhook(ID)
    assert len(server.asked) == 2


def test_call_that_was_refused_for_now_is_made_again_all_the_same(
    darkroom: Any, server: StubServer
) -> None:
    server.on("POST /v1/webhooks", problem("unavailable", 503), Reply(NEW, 201))

    assert darkroom.add_webhook("https://x").id == ID


@pytest.mark.parametrize("id", ["", "..", "wh_1/rotate", "wh_1?tenant=x"])
def test_id_that_no_webhook_can_have_is_not_asked_for(
    id: str, darkroom: Any, server: StubServer
) -> None:
    calls: list[Callable[[str], Any]] = [
        darkroom.remove_webhook, darkroom.rotate_webhook, darkroom.test_webhook,
        darkroom.deliveries, lambda name: darkroom.replay_webhook(name, datetime.now()),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidRequest, match="is no id of a webhook"):
            call(id)
    assert server.asked == []


def test_webhook_that_is_not_there_is_told_by_its_code(
    darkroom: Any, server: StubServer
) -> None:
    server.on(f"DELETE {PATH}", problem("webhook_not_found", 404))

    with pytest.raises(DarkroomError) as caught:
        darkroom.remove_webhook(ID)
    assert caught.value.code == "webhook_not_found"


def test_one_page_of_tasks_is_asked_for_with_all_filters(
    darkroom: Any, server: StubServer
) -> None:
    query = "runtime=r&state=failed&tenant=studio&text=order&limit=5&cursor=x"
    server.on(f"GET /v1/tasks?{query}", Reply({"tasks": [], "cursor": "y"}))

    page = darkroom.tasks_page(
        runtime="r", state="failed", tenant="studio", text="order", limit=5, cursor="x"
    )

    assert (page.tasks, page.cursor) == ((), "y")
