from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ingest_fakes import CALLER, KEY, UID, World, check_problem, digest, rest

from contracts.keys import KeyScope


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
