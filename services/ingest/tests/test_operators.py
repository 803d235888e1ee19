from __future__ import annotations

from dataclasses import replace

import pytest
from ingest_fakes import CALLER, KEY, World, digest, rest

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
