from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_fakes import (
    CALLER,
    KEY,
    TASK,
    UID,
    WRONG_KEY,
    FakeModels,
    World,
    digest,
    encode,
    golden,
    rest,
    v1alpha1,
    v1alpha2,
)
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_core import from_json
from starlette.types import Message

from contracts.message import CONTENT_LIMIT_BYTES
from ingest.domain import Failure, TaskState
from ingest.look_up import cursor_before
from servicekit.errors import FatalError, FieldError, RejectedError, TransientError
from servicekit.status import REFUSALS

JSON = {"content-type": "application/json"}


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert list(problem) == ["type", "title", "status", "detail", "code", "errors"]
    assert problem["type"] == f"urn:darkroom:problem:{code}"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"] == REFUSALS[code].title
    return problem


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


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json", "/docs"])
async def test_operators_need_no_key(world: World, path: str) -> None:
    async with rest(world, None) as client:
        assert (await client.get(path)).status_code == 200


async def test_readiness_is_told_without_a_key(world: World) -> None:
    async with rest(world, None) as client:
        assert (await client.get("/readyz")).status_code == 503
        await world.health.ready()
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/v1/tasks/", "/v1/tasks/a/logs", "/V1alpha2"]
)
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


async def test_body_of_exactly_the_limit_is_taken(world: World) -> None:
    body = encode(v1alpha2())
    async with rest(world) as client:
        padded = body + b" " * (CONTENT_LIMIT_BYTES - len(body))
        response = await client.post("/v1alpha2", content=padded, headers=JSON)

    assert response.status_code == 200


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


async def test_body_that_does_not_arrive_is_given_up(world: World) -> None:
    world.body_timeout = timedelta(milliseconds=10)
    async with rest(world) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        head = f"POST /v1alpha2 HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n"
        head += "content-type: application/json\r\ncontent-length: 5\r\n\r\n{"
        writer.write(head.encode())
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_task_is_told_in_full(world: World) -> None:
    done = TASK.__class__(
        uid=UID,
        id="done",
        runtime="comfy",
        tasktype="pipeline",
        state=TaskState.FAILED,
        attempt=2,
        context_json="null",
        created_at=datetime(2026, 1, 2, 4, 4, 5, tzinfo=timezone(timedelta(hours=1))),
        started_at=None,
        finished_at=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
        output_location="s3://b/p/done",
        image_url=("s3://b/p/done/1.png",),
        output_url="s3://b/p/done/x.out",
        error=Failure(code="runtime_error", message="no", retryable=True),
        progress=None,
    )
    world.router.known.append(done)
    async with rest(world) as client:
        running, failed = (
            await client.get(f"/v1/tasks/{UID}"),
            await client.get("/v1/tasks/done"),
        )

    assert running.headers["content-type"] == "application/json"
    assert running.content == encode(
        {
            "uid": UID,
            "id": "test-t2i",
            "runtime": "sdruntime",
            "tasktype": "text-to-image",
            "state": "running",
            "attempt": 1,
            "context": {"abc": 123},
            "created_at": "2026-01-02T03:04:05.678Z",
            "started_at": "2026-01-02T03:04:06.000Z",
            "finished_at": None,
            "output_location": "s3://outputbucket/output/test-t2i",
            "image_url": [],
            "output_url": None,
            "error": None,
            "progress": {"step": 1, "total": 3, "percent": 33.3},
        }
    )
    answer = failed.json()
    assert answer["created_at"] == "2026-01-02T03:04:05.000Z"
    assert answer["error"] == {"code": "runtime_error", "message": "no", "retryable": True}
    assert (answer["context"], answer["progress"], answer["started_at"]) == (None, None, None)


@pytest.mark.parametrize("id", ["other", ".hidden", "a%20b", "%ff", "a%00"])
async def test_task_that_does_not_exist_is_not_found(world: World, id: str) -> None:
    async with rest(world) as client:
        check_problem(await client.get(f"/v1/tasks/{id}"), 404, "task_not_found")


async def test_deep_context_comes_back(world: World) -> None:
    deep: object = 1
    for _ in range(150):
        deep = [deep]
    world.router.known = [replace_context(encode(deep).decode())]
    async with rest(world) as client:
        assert (await client.get("/v1/tasks/test-t2i")).json()["context"] == deep


def replace_context(text: str) -> Any:
    fields = {name: getattr(TASK, name) for name in TASK.__dataclass_fields__}
    return TASK.__class__(**{**fields, "context_json": text})


async def test_pages_are_joined_by_an_opaque_cursor(world: World) -> None:
    world.router.known = [TASK, TASK]
    async with rest(world) as client:
        first = (await client.get("/v1/tasks", params={"limit": 1})).json()
        query: dict[str, str | int] = {"runtime": "SdRuntime", "state": "running", "limit": 100}
        last = await client.get("/v1/tasks", params={**query, "cursor": first["cursor"]})

    assert [len(first["tasks"]), len(last.json()["tasks"])] == [1, 2]
    assert list(first) == ["tasks", "cursor"]
    assert first["cursor"] == cursor_before(UID)
    assert last.json()["cursor"] is None
    assert world.router.asked == {
        "runtime": "sdruntime",
        "state": TaskState.RUNNING,
        "limit": 100,
        "before_uid": UID,
    }


async def test_empty_filters_are_as_none(world: World) -> None:
    async with rest(world) as client:
        response = await client.get("/v1/tasks?runtime=&state=&limit=&cursor=")

    assert response.status_code == 200
    assert world.router.asked == {"runtime": "", "state": None, "limit": 20, "before_uid": ""}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0", ["limit"]),
        ("limit=101", ["limit"]),
        ("limit=x", ["limit"]),
        ("limit=%C2%B2", ["limit"]),
        ("limit=" + "9" * 5000, ["limit"]),
        ("state=dancing", ["state"]),
        ("cursor=!!!", ["cursor"]),
        ("cursor=x", ["cursor"]),
        ("cursor=%C3%A9", ["cursor"]),
        ("cursor=QUJD", ["cursor"]),
        ("runtime=%00", ["runtime"]),
        ("limit=-1&state=x&cursor=%ff", ["state", "limit", "cursor"]),
    ],
)
async def test_wrong_filters_are_all_named(world: World, query: str, fields: list[str]) -> None:
    async with rest(world) as client:
        response = await client.get(f"/v1/tasks?{query}")

    problem = check_problem(response, 400, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == fields


async def test_runtimes_are_told(world: World) -> None:
    async with rest(world) as client:
        response = await client.get("/v1/runtimes")

    assert response.content == encode(
        {
            "runtimes": [
                {
                    "name": "sdruntime",
                    "type": "sdwebui",
                    "model_filename": "v1-5-pruned-emaonly.safetensors",
                    "dynamic_model": False,
                    "tasktypes": ["text-to-image", "image-to-image"],
                },
                {
                    "name": "comfy",
                    "type": "comfyui",
                    "model_filename": None,
                    "dynamic_model": False,
                    "tasktypes": ["pipeline"],
                },
            ]
        }
    )


async def test_models_are_told(world: World) -> None:
    async with rest(world) as client:
        response = await client.get("/v1/models")

    assert response.content == encode(
        {
            "models": [
                {
                    "name": "a.safetensors",
                    "kind": "Stable-diffusion",
                    "bytes": 4265146304,
                    "format": "safetensors",
                    "valid": True,
                    "problem": None,
                },
                {
                    "name": "b.pt",
                    "kind": "VAE",
                    "bytes": 0,
                    "format": "pt",
                    "valid": False,
                    "problem": "the file is empty",
                },
            ]
        }
    )


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


def counted(meter: InMemoryMetricReader) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = {}
    recorded = meter.get_metrics_data()
    for resource in recorded.resource_metrics if recorded else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    label = point.attributes or {}
                    name = str(label.get("operation") or label.get("code"))
                    key = (metric.name, name, str(label.get("status", "")))
                    number: int = getattr(point, "count", 0) or getattr(point, "value", 0)
                    found[key] = found.get(key, 0) + number
    return found


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
