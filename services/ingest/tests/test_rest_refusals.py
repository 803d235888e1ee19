from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest
from ingest_fakes import (
    CALLER,
    JSON,
    KEY,
    WRONG_KEY,
    World,
    check_problem,
    counted,
    digest,
    rest,
    v1alpha1,
    v1alpha2,
)
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from contracts.message import CONTENT_LIMIT_BYTES
from servicekit.errors import FatalError, FieldError, RejectedError, TransientError


@pytest.mark.parametrize("key", [None, "", WRONG_KEY, digest(KEY)])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1alpha2"),
        ("GET", "/v1alpha2"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/models"),
        ("GET", "/nowhere"),
    ],
)
async def test_call_without_a_valid_key_is_refused(
    world: World, key: str | None, method: str, path: str
) -> None:
    async with rest(world, key) as client:
        response = await client.request(method, path)

    check_problem(response, 401, "unauthorized")
    assert world.router.asked == {}


async def test_two_keys_are_no_key(world: World) -> None:
    async with rest(world, None) as client:
        keys = [("x-api-key", KEY), ("x-api-key", KEY)]
        check_problem(await client.get("/v1/models", headers=keys), 401, "unauthorized")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1/tasks/a/logs", "/V1alpha2"])
async def test_unknown_path_is_not_found(world: World, path: str) -> None:
    async with rest(world) as client:
        check_problem(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1alpha2", "POST"),
        ("PUT", "/v1alpha1/", "POST"),
        ("POST", "/v1/tasks", "GET"),
        ("OPTIONS", "/v1/models", "GET"),
    ],
)
async def test_wrong_method_is_refused_with_the_right_one(
    world: World, method: str, path: str, allowed: str
) -> None:
    async with rest(world) as client:
        response = await client.request(method, path)

    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


async def test_body_that_says_it_is_too_large_is_refused_unread(world: World) -> None:
    async with rest(world) as client:
        port = client.base_url.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1alpha2 HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n"
        head += "content-type: application/json\r\n"
        writer.write(f"{head}content-length: {CONTENT_LIMIT_BYTES + 1}\r\n\r\n".encode())
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_body_that_turns_out_too_large_is_refused(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 2**20

    async with rest(world) as client:
        response = await client.post("/v1alpha2", content=chunks(), headers=JSON)

    check_problem(response, 413, "payload_too_large")


async def test_key_that_asks_too_fast_is_told_when_to_come_again(world: World) -> None:
    slow = CALLER.__class__(name="slow", tenant="t", rate_per_second=0.3, burst=2)
    world.gate.replace({digest(KEY): slow})
    async with rest(world) as client:
        for path in ("/v1/models", "/v1/tasks"):
            assert (await client.get(path)).status_code == 200
        response = await client.post("/v1alpha2", json=v1alpha2())

    check_problem(response, 429, "throttled")
    assert response.headers["retry-after"] == "4"
    assert world.router.submitted == []


@pytest.mark.parametrize(
    ("wait", "told"),
    [(None, "1"), (timedelta(milliseconds=1), "1"), (timedelta(seconds=2.2), "3")],
)
async def test_outage_is_told_with_a_time_to_come_again(
    world: World, wait: timedelta | None, told: str
) -> None:
    world.router.error = TransientError("router is down", retry_after=wait)
    async with rest(world) as client:
        response = await client.post("/v1alpha2", json=v1alpha2())

    problem = check_problem(response, 503, "unavailable")
    assert "router" not in problem["detail"]
    assert response.headers["retry-after"] == told


@pytest.mark.parametrize("code", ["runtime_not_found", "model_not_found"])
async def test_refusal_of_the_router_keeps_its_code_and_message(
    world: World, code: str
) -> None:
    world.router.error = RejectedError("there is: sdruntime", code=code)
    async with rest(world) as client:
        problem = check_problem(await client.post("/v1alpha1", json=v1alpha1()), 404, code)

    assert problem["detail"] == "there is: sdruntime"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1alpha2", v1alpha2(), "task.metadata.tasktype"),
        ("/v1alpha1", v1alpha1(), "alwayson_scripts.task"),
    ],
)
async def test_field_that_the_router_refuses_is_named_as_the_client_knows_it(
    world: World, path: str, body: dict[str, Any], field: str
) -> None:
    world.router.error = RejectedError(
        "the runtime does not take it",
        code="invalid_request",
        errors=(FieldError("tasktype", "must be pipeline"),),
    )
    async with rest(world) as client:
        response = await client.post(path, json=body)

    problem = check_problem(response, 400, "invalid_request")
    assert problem["detail"] == "Incorrect payload structure, the runtime does not take it"
    assert problem["errors"] == [{"field": field, "message": "must be pipeline"}]


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("secret inner state"),
        FatalError("secret inner state"),
        RejectedError("secret inner state", code="of-another-version"),
    ],
)
async def test_unexpected_error_is_logged_and_shows_nothing(
    world: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world.router.error = error
    async with rest(world) as client:
        response = await client.post("/v1alpha2", json=v1alpha2())

    check_problem(response, 500, "internal")
    assert "secret inner state" not in response.text
    [record] = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"GET /v1/tasks HTTP/1.1\r\nhost: x\r\nx-a: \x01\r\n\r\n", id="control"),
        pytest.param(b"GET /v1/tasks HTTP/1.1\r\nhost: x\r\nx a: b\r\n\r\n", id="name"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01", id="TLS"),
    ],
)
async def test_what_is_no_http_is_told_so_in_the_usual_form(
    world: World, meter: InMemoryMetricReader, request_: bytes
) -> None:
    before = counted(meter)
    async with rest(world) as client, asyncio.timeout(60):
        port = cast("int", client.base_url.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json\r\n" in head
    answer = json.loads(body)
    assert (answer["status"], answer["code"]) == (400, "invalid_request")
    key = ("darkroom.ingest.requests", "unknown", "400")
    assert counted(meter)[key] - before.get(key, 0) == 1
