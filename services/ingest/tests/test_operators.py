from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from ingest_fakes import (
    CALLER,
    KEY,
    SIGNATURE,
    UID,
    World,
    check_problem,
    digest,
    rest,
    task_with,
)

from contracts.keys import Key, KeyScope, Quota
from ingest.keys import Limits


@pytest.fixture
def admin(world: World) -> World:
    world.gate.replace({digest(KEY): replace(CALLER, scope=KeyScope.ADMIN)})
    return world


async def test_operator_is_told_how_each_runtime_does(admin: World) -> None:
    async with rest(admin) as client:
        answer = await client.get("/v1/overview")

    assert answer.json() == {
        "at": "2026-01-02T03:04:05.000Z",
        "runtimes": [
            {
                "name": "canvas",
                "type": "sdwebui",
                "queued": 7,
                "running": 1,
                "oldest_wait_seconds": 12.5,
                "dead_letters": 0,
                "last_hour": {
                    "completed": 1,
                    "failed": 1,
                    "cancelled": 0,
                    "images": 4,
                    "gpu_seconds": 1.5,
                    "minutes": [0] * 59 + [2],
                },
                "today": {
                    "tasks": 3,
                    "images": 5,
                    "gpu_seconds": 2.0,
                    "cost": {"currency": "USD", "amount": "0.000207"},
                },
            }
        ],
        "webhook_dead_letters": None,
    }


async def test_what_is_unknown_is_null(world: World) -> None:
    world.gate.replace({digest(KEY): replace(CALLER, scope=KeyScope.READ)})
    async with rest(world) as client:
        [seen] = (await client.get("/v1/overview")).json()["runtimes"]

    names = ("queued", "running", "oldest_wait_seconds", "dead_letters")
    assert [seen[name] for name in names] == [None] * 4


async def test_dead_letters_are_told_with_what_is_known_of_them(admin: World) -> None:
    async with rest(admin) as client:
        answer = await client.get("/v1/dead-letters?runtime=Canvas&limit=7")
        await client.get("/v1/dead-letters?runtime=&limit=")

    first, second = answer.json()["dead_letters"]
    assert first == {
        "message_id": "m1",
        "runtime": "canvas",
        "uid": UID,
        "id": "a",
        "since": "2026-01-02T03:04:05.000Z",
        "reason": "poisoned: given up",
        "body": "{}",
    }
    assert [second[name] for name in ("uid", "id", "reason")] == [None] * 3
    assert admin.operators.asked == [("list", "canvas", 7), ("list", "", 100)]


async def test_dead_letters_are_redriven_and_purged_by_name_or_all(admin: World) -> None:
    async with rest(admin) as client:
        redriven = await client.post("/v1/dead-letters/redrive", json={"messages": None})
        purged = await client.post(
            "/v1/dead-letters/purge", json={"runtime": "Canvas", "messages": ["m1"]}
        )

    assert redriven.json() == {
        "results": [
            {"message_id": "m1", "outcome": "redriven", "uid": UID, "reason": None},
            {
                "message_id": "m2",
                "outcome": "kept",
                "uid": None,
                "reason": "it is no task message",
            },
        ]
    }
    assert [each["outcome"] for each in purged.json()["results"]] == ["purged"]
    assert admin.operators.asked == [("redrive", "", None), ("purge", "canvas", ["m1"])]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "messages"),
        ({"runtime": "canvas"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["m"] * 101}, "messages"),
        ({"messages": [""]}, "messages.0"),
        ({"messages": "m1"}, "messages"),
        ({"messages": None, "all": True}, "all"),
        ({"messages": None, "runtime": "x" * 257}, "runtime"),
    ],
)
async def test_what_does_not_say_which_messages_is_refused(
    admin: World, body: dict[str, Any], field: str
) -> None:
    async with rest(admin) as client:
        for action in ("redrive", "purge"):
            answer = await client.post(f"/v1/dead-letters/{action}", json=body)
            problem = check_problem(answer, 400, "invalid_request")
            assert [error["field"] for error in problem["errors"]] == [field]
    assert admin.operators.asked == []


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"),
     ("runtime=%00", "runtime")],
)  # fmt: skip
async def test_a_wrong_list_of_dead_letters_is_refused(
    admin: World, query: str, field: str
) -> None:
    async with rest(admin) as client:
        problem = check_problem(
            await client.get(f"/v1/dead-letters?{query}"), 400, "invalid_request"
        )
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_runtime_that_is_not_there_is_told(admin: World) -> None:
    async with rest(admin) as client:
        answer = await client.post(
            "/v1/dead-letters/redrive", json={"runtime": "nosuch", "messages": None}
        )
    check_problem(answer, 404, "runtime_not_found")


@pytest.mark.parametrize("scope", [KeyScope.READ, KeyScope.SUBMIT])
async def test_dead_letters_are_for_operators(world: World, scope: KeyScope) -> None:
    world.gate.replace({digest(KEY): replace(CALLER, scope=scope)})
    async with rest(world) as client:
        for method, path in (("GET", ""), ("POST", "/redrive"), ("POST", "/purge")):
            answer = await client.request(
                method, f"/v1/dead-letters{path}", json={"messages": None}
            )
            check_problem(answer, 403, "forbidden")
    assert world.operators.asked == []


async def test_keys_are_told_with_what_they_have_used_and_without_themselves(
    world: World,
) -> None:
    quota = Quota(open_tasks=50, daily_images=1000, monthly_budget=Decimal(25))
    end = datetime(2027, 1, 31, tzinfo=UTC)
    bot = Key(name="bot", tenant="studio", sha256="0" * 64, quota=quota, expires_at=end)
    keys = [
        Key(name="tests", tenant="studio", sha256=digest(KEY), scope=KeyScope.ADMIN, burst=9),
        bot,
        Key(name="zoo", tenant="rival", sha256="1" * 64),
    ]
    world.gate.replace(Limits(rate_per_second=30, burst=50, replicas=4).callers(keys))
    async with rest(world) as client:
        answer = await client.get("/v1/keys")

    first, second, third = answer.json()["keys"]
    assert (first["name"], first["quotas"], first["burst"]) == ("zoo", [], 50)
    assert (third["name"], third["scope"], third["burst"]) == ("tests", "admin", 9)
    assert {name: second[name] for name in second if name != "quotas"} == {
        "name": "bot",
        "tenant": "studio",
        "scope": "submit",
        "rate_per_second": 30.0,
        "burst": 50,
        "expires_at": "2027-01-31T00:00:00.000Z",
    }
    states = [(each["quota"], each["limit"], each["used"]) for each in second["quotas"]]
    assert states == [
        ("open_tasks", "50", "3"),
        ("daily_images", "1000", "7"),
        ("monthly_budget", "25", "1.500000"),
    ]
    resets = [each["resets_at"] for each in second["quotas"]]
    assert resets[0] is None
    assert all(moment.endswith("T00:00:00.000Z") for moment in resets[1:])
    assert world.operators.asked == [("quota_use", "tests", ["bot"])]
    assert "0" * 64 not in answer.text
    assert digest(KEY) not in answer.text


async def test_keys_are_for_operators(world: World) -> None:
    async with rest(world) as client:
        check_problem(await client.get("/v1/keys"), 403, "forbidden")


async def test_a_url_for_a_model_file_is_told_once(
    admin: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with rest(admin) as client:
        answer = await client.post("/v1/models", json={"name": "Lora/a.pt", "bytes": 9})

    assert answer.json() == {
        "upload_url": f"https://bucket?{SIGNATURE}",
        "expires_at": "2026-01-02T03:04:05.000Z",
    }
    assert answer.headers["cache-control"] == "no-store"
    assert admin.models.asked == [("Lora/a.pt", 9)]
    assert SIGNATURE not in caplog.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"bytes": 1}, "name"),
        ({"name": "Lora/a.pt"}, "bytes"),
        ({"name": "Lora/a.pt", "bytes": 0}, "bytes"),
        ({"name": "Lora/a.pt", "bytes": 5 * 2**30 + 1}, "bytes"),
        ({"name": "Lora/a.pt", "bytes": "9"}, "bytes"),
        ({"name": "Lora/a.pt", "bytes": 9, "kind": "Lora"}, "kind"),
        ({"name": "a.pt", "bytes": 9}, "name"),
    ],
)
async def test_a_model_file_that_cannot_be_sent_is_refused(
    admin: World, body: dict[str, Any], field: str
) -> None:
    async with rest(admin) as client:
        answer = await client.post("/v1/models", json=body)
    problem = check_problem(answer, 400, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_models_are_sent_by_operators_and_seen_by_all(world: World) -> None:
    async with rest(world) as client:
        refused = await client.post("/v1/models", json={"name": "Lora/a.pt", "bytes": 9})
        seen = await client.get("/v1/models")

    check_problem(refused, 403, "forbidden")
    assert seen.status_code == 200


@pytest.mark.parametrize("name", ["events", "request"])
async def test_a_task_that_is_called_like_an_action_is_not_cancelled_by_who_reads(
    world: World, name: str
) -> None:
    world.router.known = [task_with(id=name)]
    world.gate.replace({digest(KEY): replace(CALLER, scope=KeyScope.READ)})
    async with rest(world) as client:
        check_problem(await client.delete(f"/v1/tasks/{name}"), 403, "forbidden")
