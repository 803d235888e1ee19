"""The routes of webhooks: whose they are, what they take, and what they answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from ingest_fakes import CALLER, KEY, UID, World, check_problem, digest, rest

from contracts.keys import KeyScope
from ingest.keys import Gate

NEW: dict[str, Any] = {"url": "https://studio.example.com/in", "events": ["completed"]}


@pytest.fixture
def admin(world: World) -> World:
    """The same, where the key is an admin's."""
    world.gate = Gate({digest(KEY): replace(CALLER, scope=KeyScope.ADMIN)})
    return world


async def test_a_webhook_is_told_with_its_secret_once(admin: World) -> None:
    async with rest(admin) as client:
        made = await client.post("/v1/webhooks", json={**NEW, "runtime": "ComfY"})
        listed = await client.get("/v1/webhooks")

    shown = {
        "id": "wh_studio_0",
        "tenant": "studio",
        "url": NEW["url"],
        "events": ["completed"],
        "runtime": "ComfY",
        "state": "active",
        "created_at": "2026-01-02T03:04:05.000Z",
    }
    assert made.status_code == 201
    assert made.json() == {**shown, "secret": "whsec_c2VjcmV0"}
    assert listed.json() == {"webhooks": [shown]}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": 1}, "url"),
        ({"events": []}, "events"),
        ({"events": ["ended"]}, "events.0"),
        ({"event": "completed"}, "event"),
        ({"runtime": None}, "runtime"),
    ],
)
async def test_a_wrong_field_is_named(admin: World, wrong: dict[str, Any], field: str) -> None:
    async with rest(admin) as client:
        answer = await client.post("/v1/webhooks", json=NEW | wrong)

    problem = check_problem(answer, 400, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_runtime_that_is_not_there_is_told_with_those_that_are(admin: World) -> None:
    async with rest(admin) as client:
        answer = await client.post("/v1/webhooks", json={**NEW, "runtime": "sdruntme"})

    problem = check_problem(answer, 404, "runtime_not_found")
    assert problem["detail"].endswith("there are: comfy, sdruntime")
    assert admin.webhooks.kept == {}


async def test_a_webhook_is_rotated_tried_replayed_and_removed(admin: World) -> None:
    async with rest(admin) as client:
        await client.post("/v1/webhooks", json=NEW)
        url = "/v1/webhooks/wh_studio_0"
        rotated = await client.post(f"{url}/rotate")
        tried = await client.post(f"{url}/test")
        replayed = await client.post(f"{url}/replay", json={"since": "2026-01-02T00:00:00Z"})
        removed = await client.delete(url)
        again = await client.delete(url)

    assert rotated.json() == {
        "secret": "whsec_bmV3",
        "old_until": "2026-01-02T03:04:06.000Z",
    }
    assert (tried.status_code, tried.json()) == (202, {"uid": UID})
    assert replayed.status_code == 202
    assert admin.webhooks.replayed == [("wh_studio_0", datetime(2026, 1, 2, tzinfo=UTC), None)]
    assert removed.json()["id"] == "wh_studio_0"
    check_problem(again, 404, "webhook_not_found")


async def test_a_time_without_a_zone_is_refused(admin: World) -> None:
    async with rest(admin) as client:
        await client.post("/v1/webhooks", json=NEW)
        answer = await client.post(
            "/v1/webhooks/wh_studio_0/replay", json={"since": "2026-01-02T00:00:00"}
        )

    problem = check_problem(answer, 400, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["since"]


async def test_deliveries_tell_what_became_of_each_event(admin: World) -> None:
    async with rest(admin) as client:
        await client.post("/v1/webhooks", json=NEW)
        answer = await client.get("/v1/webhooks/wh_studio_0/deliveries")

    first, second = answer.json()["deliveries"]
    assert first == {
        "uid": UID,
        "event": "task.failed",
        "state": "retrying",
        "tries": 1,
        "status": 500,
        "error": "the answer was 500",
        "tried_at": "2026-01-02T03:04:05.000Z",
        "next_try_at": "2026-01-02T03:04:10.000Z",
    }
    assert (second["error"], second["next_try_at"]) == (None, None)


async def changes(client: httpx.AsyncClient) -> list[httpx.Response]:
    return [
        await client.post("/v1/webhooks", json=NEW),
        await client.delete("/v1/webhooks/wh_studio_0"),
        *[
            await client.post(f"/v1/webhooks/wh_studio_0/{action}", json={})
            for action in ("rotate", "test", "replay")
        ],
    ]


async def test_a_key_that_submits_reads_webhooks_and_changes_none(world: World) -> None:
    await world.webhooks.create("studio", NEW["url"], NEW["events"], "")
    async with rest(world) as client:
        listed = await client.get("/v1/webhooks")
        deliveries = await client.get("/v1/webhooks/wh_studio_0/deliveries")
        refused = await changes(client)

    assert [each["id"] for each in listed.json()["webhooks"]] == ["wh_studio_0"]
    assert deliveries.status_code == 200
    for answer in refused:
        check_problem(answer, 403, "forbidden")


async def test_a_key_that_reads_sees_no_webhooks(world: World) -> None:
    world.gate = Gate({digest(KEY): replace(CALLER, scope=KeyScope.READ)})
    async with rest(world) as client:
        check_problem(await client.get("/v1/webhooks"), 403, "forbidden")


async def test_only_an_admin_may_name_another_tenant(world: World) -> None:
    await world.webhooks.create("rival", NEW["url"], NEW["events"], "")
    async with rest(world) as client:
        refused = await client.get("/v1/webhooks", params={"tenant": "rival"})
        own = await client.get("/v1/webhooks", params={"tenant": "studio"})
        foreign = await client.get("/v1/webhooks/wh_rival_0/deliveries")
    world.gate = Gate({digest(KEY): replace(CALLER, scope=KeyScope.ADMIN)})
    async with rest(world) as client:
        named = await client.get("/v1/webhooks", params={"tenant": "rival"})

    check_problem(refused, 403, "forbidden")
    assert own.json() == {"webhooks": []}
    check_problem(foreign, 404, "webhook_not_found")
    assert [each["id"] for each in named.json()["webhooks"]] == ["wh_rival_0"]
