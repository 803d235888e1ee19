from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_fakes import (
    CALLER,
    JSON,
    KEY,
    UID,
    FakeModels,
    World,
    check_problem,
    counted,
    digest,
    encode,
    golden,
    rest,
    v1alpha2,
)
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_core import from_json
from starlette.types import Message

from contracts.message import CONTENT_LIMIT_BYTES


@pytest.mark.parametrize("path", ["/v1alpha2", "/v1alpha2/"])
async def test_golden_v1alpha2_request_has_the_golden_answer(world: World, path: str) -> None:
    async with rest(world) as client:
        body = golden("v1alpha2-text-to-image.request.json")
        response = await client.post(path, content=body, headers=JSON)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.content == encode(from_json(golden("v1alpha2.response.json")))


@pytest.mark.parametrize("path", ["/v1alpha1", "/v1alpha1/"])
async def test_golden_v1alpha1_request_has_the_golden_answer(world: World, path: str) -> None:
    async with rest(world) as client:
        body = golden("v1alpha1-text-to-image.request.json")
        response = await client.post(path, content=body, headers=JSON)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.content == encode(from_json(golden("v1alpha1.response.json")))


async def test_router_gets_the_submission_and_the_tenant(world: World) -> None:
    async with rest(world) as client:
        await client.post("/v1alpha2", json=v1alpha2(context=[1]))

    [(submission, tenant)] = world.router.submitted
    assert (submission.uid, submission.id, tenant) == (UID, "a", "studio")
    assert submission.context_json == "[1]"


async def test_chunked_body_is_read(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        body = encode(v1alpha2())
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    async with rest(world) as client:
        response = await client.post("/v1alpha2", content=chunks(), headers=JSON)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "media_type",
    ["application/json; charset=UTF-8", "application/vnd.x+json", "Application/JSON"],
)
async def test_json_by_another_name_is_taken(world: World, media_type: str) -> None:
    async with rest(world) as client:
        response = await client.post(
            "/v1alpha2", content=encode(v1alpha2()), headers={"content-type": media_type}
        )

    assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_anything_but_json_is_refused(world: World, headers: dict[str, str]) -> None:
    async with rest(world) as client:
        response = await client.post("/v1alpha2", content=b"{}", headers=headers)

    check_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("path", "field"), [("/v1alpha2", "task"), ("/v1alpha1", "alwayson_scripts")]
)
async def test_missing_field_is_named(world: World, path: str, field: str) -> None:
    async with rest(world) as client:
        problem = check_problem(await client.post(path, json={}), 400, "invalid_request")

    assert problem["detail"] == f"Incorrect payload structure, {field} is missing"
    assert problem["errors"] == [{"field": field, "message": f"{field} is missing"}]


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json", "/docs"])
async def test_operators_need_no_key(world: World, path: str) -> None:
    async with rest(world, None) as client:
        assert (await client.get(path)).status_code == 200


async def test_readiness_is_told_without_a_key(world: World) -> None:
    async with rest(world, None) as client:
        assert (await client.get("/readyz")).status_code == 503
        await world.health.ready()
        assert (await client.get("/readyz")).status_code == 200


async def test_body_of_exactly_the_limit_is_taken(world: World) -> None:
    body = encode(v1alpha2())
    async with rest(world) as client:
        padded = body + b" " * (CONTENT_LIMIT_BYTES - len(body))
        response = await client.post("/v1alpha2", content=padded, headers=JSON)

    assert response.status_code == 200


async def test_client_that_hangs_up_is_no_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sent: list[Message] = []
    events: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return events.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"x-api-key", KEY.encode()), (b"content-type", b"application/json")]
    await world.app()(http_scope("POST", "/v1alpha2", headers), receive, send)

    assert sent[0]["status"] == 499
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_body_that_does_not_arrive_is_given_up() -> None:
    world = World(body_timeout=timedelta(milliseconds=10))
    async with rest(world) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        head = f"POST /v1alpha2 HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n"
        head += "content-type: application/json\r\ncontent-length: 5\r\n\r\n{"
        writer.write(head.encode())
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_submission_joins_the_trace_of_its_client(
    world: World, spans: InMemorySpanExporter
) -> None:
    trace_id, query = "4bf92f3577b34da6a3ce929d0e0e4736", "secret=1"
    async with rest(world) as client:
        traceparent = f"00-{trace_id}-00f067aa0ba902b7-01"
        await client.post(
            f"/v1alpha2?{query}", json=v1alpha2(), headers={"traceparent": traceparent}
        )
        await client.get("/healthz")

    [span] = spans.get_finished_spans()
    assert span.name == "submit_v1alpha2"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == trace_id
    assert span.attributes is not None
    assert (span.attributes["darkroom.uid"], span.attributes["darkroom.id"]) == (UID, "a")
    assert query not in span.to_json()


async def test_requests_are_counted_by_fixed_names(
    world: World, meter: InMemoryMetricReader
) -> None:
    before = counted(meter)
    async with rest(world) as client:
        for path in ("/v1/tasks/one", f"/v1/tasks/{UID}", "/some/where", "/healthz"):
            await client.get(path)
    after = counted(meter)

    new = {key: number - before.get(key, 0) for key, number in after.items()}
    assert {key: number for key, number in new.items() if number} == {
        ("darkroom.ingest.requests", "get_task", "404"): 1,
        ("darkroom.ingest.requests", "get_task", "200"): 1,
        ("darkroom.ingest.requests", "unknown", "404"): 1,
        ("darkroom.ingest.refused", "task_not_found", ""): 1,
        ("darkroom.ingest.refused", "not_found", ""): 1,
        ("darkroom.ingest.seconds", "get_task", ""): 2,
        ("darkroom.ingest.seconds", "unknown", ""): 1,
    }


def http_scope(
    method: str, path: str, headers: list[tuple[bytes, bytes]], query: bytes = b""
) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


def test_nothing_that_a_client_sends_is_our_failure(world: World) -> None:
    app = world.app()

    async def answer(scope: dict[str, Any], body: bytes) -> int:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return int(sent[0]["status"])

    with asyncio.Runner() as runner:

        @given(
            path=st.sampled_from(["/v1alpha1", "/v1alpha2", "/v1/tasks", "/v1/tasks/a", "/x"]),
            body=st.binary(max_size=300)
            | st.text(st.characters(codec="utf-8")).map(str.encode),
            query=st.binary(max_size=30),
            media_type=st.sampled_from(
                [b"application/json", b"\xff", b"a/b; charset=\xe9", b""]
            ),
        )
        def never_fails(path: str, body: bytes, query: bytes, media_type: bytes) -> None:
            method = "GET" if path.startswith("/v1/") else "POST"
            headers = [(b"x-api-key", KEY.encode()), (b"content-type", media_type)]
            status = runner.run(answer(http_scope(method, path, headers, query), body))
            assert 200 <= status < 500

        never_fails()


async def test_request_in_flight_at_the_end_is_answered(world: World) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    class SlowModels(FakeModels):
        async def models(self) -> Any:
            entered.set()
            await leave.wait()
            return ()

    world.models = SlowModels()
    async with asyncio.TaskGroup() as group, rest(world) as client:
        answer = group.create_task(ask(f"{client.base_url}/v1/models"), name="client")
        await entered.wait()
        asyncio.get_running_loop().call_soon(leave.set)

    assert (await answer).status_code == 200


async def ask(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url, headers={"x-api-key": KEY})


async def test_every_answer_tells_what_the_key_may_still_ask(world: World) -> None:
    slow = replace(CALLER, rate_per_second=0.001, burst=2)
    world.gate.replace({digest(KEY): slow})
    async with rest(world) as client:
        answers = [await client.get(path) for path in ("/v1/runtimes", "/v1/none", "/v1/tasks")]
    told = [
        tuple(answer.headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset"))
        for answer in answers
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 429]
    assert told == [("2", "1", "1000"), ("2", "0", "2000"), ("2", "0", "2000")]
