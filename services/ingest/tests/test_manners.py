"""HTTP as browsers and tools use it."""

from __future__ import annotations

import asyncio

import pytest
from ingest_fakes import UID, World, rest, v1alpha2

PAGE = "https://studio.example.com"
PATHS = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/v1/runtimes",
    "/v1/models",
    "/v1/tasks",
    f"/v1/tasks/{UID}",
    f"/v1/tasks/{UID}/events",
    "/v1/nothing",
    "/v1alpha2",
]


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_a_get_without_its_body(world: World, path: str) -> None:
    async with rest(world) as client, asyncio.timeout(60):
        async with client.stream("GET", path) as got:
            pass
        head = await client.head(path)

    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert ("content-length" in head.headers) == ("content-length" in got.headers)


async def test_head_of_a_stream_ends_it(world: World) -> None:
    async with rest(world) as client, asyncio.timeout(60):
        await client.head(f"/v1/tasks/{UID}/events")
        while world.watches.open:
            await client.get("/healthz")


@pytest.mark.parametrize("path", PATHS)
async def test_slash_at_the_end_makes_no_difference(world: World, path: str) -> None:
    async with rest(world) as client, asyncio.timeout(60):
        async with client.stream("GET", path) as without:
            pass
        async with client.stream("GET", path + "/") as slash:
            pass

    assert slash.status_code == without.status_code


async def test_submission_with_a_slash_is_taken(world: World) -> None:
    async with rest(world) as client:
        for path in ("/v1alpha2", "/v1alpha2/"):
            assert (await client.post(path, json=v1alpha2())).status_code == 200


async def test_pages_of_listed_origins_may_call() -> None:
    world = World(cors_origins=(PAGE,))
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": (
            "authorization, content-type, x-api-key, prefer, idempotency-key"
        ),
    }
    async with rest(world, key=None) as client:
        preflight = await client.options("/v1alpha2", headers=asked)
        other = await client.options("/v1alpha2", headers={**asked, "origin": "https://evil"})
        refused = await client.get("/v1/tasks", headers={"origin": PAGE})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers
    assert refused.status_code == 401  # which the page may read
    assert refused.headers["access-control-allow-origin"] == PAGE


async def test_no_page_may_call_unless_its_origin_is_listed(world: World) -> None:
    async with rest(world) as client:
        answer = await client.get("/v1/tasks", headers={"origin": PAGE})
        preflight = await client.options(
            "/v1alpha2", headers={"origin": PAGE, "access-control-request-method": "POST"}
        )

    assert "access-control-allow-origin" not in answer.headers
    assert preflight.status_code == 405
