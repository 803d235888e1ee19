from __future__ import annotations

import inspect
import json
import pickle
import socket
import time
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from stub_server import BREAK, UID, Reply, StubServer, accepted, problem, task

import darkroom_client
from darkroom_client import (
    AlreadyFinished,
    AsyncDarkroom,
    Darkroom,
    DarkroomError,
    Forbidden,
    IdempotencyConflict,
    InvalidRequest,
    ModelNotFound,
    QuotaExceeded,
    RequestNotKept,
    RuntimeNotFound,
    Task,
    TaskFailed,
    TaskNotFound,
    TaskRequest,
    Throttled,
    Unauthorized,
    Unavailable,
    Unreachable,
)

DOG = TaskRequest(runtime="sdruntime", content={"prompt": "A dog"}, id="first")
POST = "POST /v1alpha2"
TASK = "GET /v1/tasks/first"


def test_task_is_submitted_with_the_key_and_what_was_said(
    darkroom: Any, server: StubServer
) -> None:
    server.on(POST, Reply(accepted()))

    answer = darkroom.submit(DOG.model_copy(update={"context": {"order": 7}}))

    (asked,) = server.asked
    assert (answer.uid, answer.id) == (UID, "first")
    assert asked.headers["x-api-key"] == "key-of-the-test"
    metadata = {"id": "first", "runtime": "sdruntime", "tasktype": "text-to-image"}
    assert json.loads(asked.body) == {
        "task": {"metadata": {**metadata, "context": {"order": 7}}, "content": DOG.content}
    }


def test_whole_body_is_sent_as_it_is(darkroom: Any, server: StubServer) -> None:
    server.on(POST, Reply(accepted(task=task())))
    body = {"task": {"metadata": {"id": "first", "newer": 1}, "content": {}}}

    answer = darkroom.submit(body, wait=30)

    assert answer.task == Task.model_validate(task())
    assert json.loads(server.asked[0].body) == body
    assert server.asked[0].headers["prefer"] == "wait=30"


def test_field_that_no_task_has_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="contxt"):
        TaskRequest(runtime="x", content={}, contxt={})  # type: ignore[call-arg]  # on purpose


def test_submission_that_is_sent_again_is_the_same_to_the_byte(
    darkroom: Any, server: StubServer
) -> None:
    server.on(POST, BREAK, problem("unavailable", 503), Reply(accepted()))

    assert darkroom.submit(DOG).uid == UID
    assert darkroom.submit(DOG).uid == UID

    first, second, third, other = server.asked
    assert first.body == second.body == third.body
    keys = [each.headers["idempotency-key"] for each in (first, second, third, other)]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_answer_of_a_newer_server_is_read_and_kept(darkroom: Any, server: StubServer) -> None:
    cost = {"gpu_seconds": 1.5, "currency": "USD", "amount": 0.0012, "newer": True}
    server.on(TASK, Reply(task(tenant="art", cost=cost, newer={"a": 1}, state="paused")))

    found = darkroom.task("first")

    assert (found.tenant, found.state, found.ended) == ("art", "paused", False)
    assert (found.cost.amount, found.cost.node_type) == (Decimal("0.0012"), None)
    assert found.created_at == datetime(2026, 11, 23, 0, 52, 7, 583000, timezone.utc)
    assert found.raw["newer"] == {"a": 1}
    assert found.cost.raw == cost


def test_results_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Task.model_validate(task()).state = "queued"  # type: ignore[misc]  # on purpose


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("invalid_request", 400, InvalidRequest),
        ("unauthorized", 401, Unauthorized),
        ("forbidden", 403, Forbidden),
        ("runtime_not_found", 404, RuntimeNotFound),
        ("model_not_found", 404, ModelNotFound),
        ("task_not_found", 404, TaskNotFound),
        ("request_not_kept", 404, RequestNotKept),
        ("idempotency_conflict", 409, IdempotencyConflict),
        ("already_finished", 409, AlreadyFinished),
        ("throttled", 429, Throttled),
        ("quota_exceeded", 429, QuotaExceeded),
        ("unavailable", 503, Unavailable),
        ("internal", 500, DarkroomError),
        ("one_of_tomorrow", 418, DarkroomError),
    ],
)
def test_each_code_has_its_error(
    code: str, status: int, kind: type[DarkroomError], server: StubServer
) -> None:
    server.on(TASK, problem(code, status))

    with (
        Darkroom(server.url, "k", retry_seconds=0) as darkroom,
        pytest.raises(DarkroomError) as caught,
    ):
        darkroom.task("first")

    error = caught.value
    assert type(error) is kind
    assert (error.code, error.status, error.detail) == (code, status, f"why {code}")
    assert str(error) == f"{code}: why {code}"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthorized), (403, Forbidden), (429, Throttled), (502, Unavailable),
     (503, Unavailable), (504, Unavailable), (404, DarkroomError)],
)  # fmt: skip
def test_gateway_that_knows_no_codes_is_told_by_its_status(
    status: int, kind: type[DarkroomError], server: StubServer
) -> None:
    server.on(TASK, Reply({"message": "Forbidden"}, status))

    with (
        Darkroom(server.url, "k", retry_seconds=0) as darkroom,
        pytest.raises(DarkroomError, match=f"the endpoint answered {status}") as caught,
    ):
        darkroom.task("first")

    assert type(caught.value) is kind


def test_wrong_fields_are_named(darkroom: Any, server: StubServer) -> None:
    errors = [{"field": "task.metadata.id", "message": "is missing"}]
    server.on(POST, problem("invalid_request", 400, errors=errors))

    with pytest.raises(InvalidRequest) as caught:
        darkroom.submit({})

    assert [(e.field, e.message) for e in caught.value.errors] == [
        ("task.metadata.id", "is missing")
    ]


def test_quota_that_is_used_up_is_told_and_not_tried_again(
    darkroom: Any, server: StubServer
) -> None:
    members = {"quota": "daily_images", "limit": 100, "used": 100}
    server.on(
        POST,
        problem("quota_exceeded", 429, **members, resets_at="2026-11-28T00:00:00Z"),
    )

    with pytest.raises(QuotaExceeded) as caught:
        darkroom.submit(DOG)

    error = caught.value
    assert (error.quota, error.limit, error.used) == ("daily_images", 100, 100)
    assert error.resets_at == datetime(2026, 11, 28, tzinfo=timezone.utc)
    assert len(server.asked) == 1


def test_throttled_call_is_made_again_when_the_server_said(
    darkroom: Any, server: StubServer
) -> None:
    refused = problem("throttled", 429)
    server.on(TASK, Reply(refused.body, 429, {"retry-after": "1"}), Reply(task()))
    begun = time.monotonic()

    assert darkroom.task("first").uid == UID
    assert time.monotonic() - begun >= 1


def test_date_of_retry_after_is_understood(server: StubServer) -> None:
    later = {"retry-after": "Wed, 21 Oct 2065 07:28:00 GMT"}
    server.on(TASK, Reply(None, 503, later))

    with Darkroom(server.url, "k") as darkroom, pytest.raises(Unavailable) as caught:
        darkroom.task("first")

    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 1e9
    assert len(server.asked) == 1


def test_tries_end_with_the_time_for_them(
    connect: Callable[..., Any], server: StubServer
) -> None:
    server.on(TASK, problem("unavailable", 503))
    begun = time.monotonic()

    with pytest.raises(Unavailable) as caught:
        connect(server.url, retry_seconds=1).task("first")

    assert time.monotonic() - begun < 1.5
    assert caught.value.tries == len(server.asked) > 1


def test_error_of_the_server_itself_is_not_tried_again(
    darkroom: Any, server: StubServer
) -> None:
    server.on(TASK, problem("internal", 500))

    with pytest.raises(DarkroomError, match="internal"):
        darkroom.task("first")
    assert len(server.asked) == 1


def test_server_that_says_nothing_is_given_up(
    connect: Callable[..., Any], server: StubServer
) -> None:
    server.on(TASK, Reply(task(), seconds=1))

    with pytest.raises(Unreachable, match=r"^http://127\.0\.0\.1:\d+/ cannot be reached: Read"):
        connect(server.url, timeout=0.1, retry_seconds=0).task("first")


def test_nobody_at_the_endpoint_is_one_sentence(connect: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]

    with pytest.raises(Unreachable, match="cannot be reached: ConnectError"):
        connect(f"http://127.0.0.1:{port}", retry_seconds=0).task("first")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"uid": 1}'])
def test_server_that_is_something_else_is_one_sentence(
    body: bytes, darkroom: Any, server: StubServer
) -> None:
    server.on(TASK, Reply(body))

    with pytest.raises(DarkroomError, match="is no Darkroom") as caught:
        darkroom.task("first")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["", "art.example.com", "ftp://x", "http://x:99999"])
def test_endpoint_that_is_none_is_refused(endpoint: str, connect: Callable[..., Any]) -> None:
    with pytest.raises(InvalidRequest, match="is no http:// or https:// URL"):
        connect(endpoint)


@pytest.mark.parametrize("name", ["first/events", "../v1/runtimes", "..", "a?limit=1", ""])
def test_name_that_no_task_can_have_is_not_asked_for(
    name: str, darkroom: Any, server: StubServer
) -> None:
    for call in (darkroom.task, darkroom.cancel, darkroom.links, darkroom.wait):
        with pytest.raises(InvalidRequest, match="is no name of a task"):
            call(name)
    with pytest.raises(InvalidRequest, match="is no name of a task"):
        list(darkroom.watch(name))
    assert server.asked == []


def test_tasks_are_iterated_over_pages(darkroom: Any, server: StubServer) -> None:
    path = "GET /v1/tasks?runtime=sdruntime&limit=2"
    server.on(path, Reply({"tasks": [task(id="a"), task(id="b")], "cursor": "x/y"}))
    server.on(f"{path}&cursor=x%2Fy", Reply({"tasks": [task(id="c")], "cursor": None}))

    found = darkroom.tasks(runtime="sdruntime", page=2)

    assert next(found).id == "a"
    assert len(server.asked) == 1
    assert [each.id for each in found] == ["b", "c"]


def test_cancelled_task_is_given_though_the_first_answer_was_lost(
    darkroom: Any, server: StubServer
) -> None:
    server.on("DELETE /v1/tasks/first", BREAK, problem("already_finished", 409))
    server.on(TASK, Reply(task(state="cancelled")))

    assert darkroom.cancel("first").state == "cancelled"


def test_task_that_has_ended_cannot_be_cancelled(darkroom: Any, server: StubServer) -> None:
    server.on("DELETE /v1/tasks/first", problem("already_finished", 409))
    server.on(TASK, Reply(task(state="cancelled")))

    with pytest.raises(AlreadyFinished):
        darkroom.cancel("first")


def test_models_runtimes_and_links_are_typed(darkroom: Any, server: StubServer) -> None:
    model = {"name": "a.safetensors", "kind": "Lora", "bytes": 1, "valid": False}
    server.on("GET /v1/models", Reply({"models": [{**model, "problem": "is broken"}]}))
    runtime = {"name": "sdruntime", "type": "sdwebui", "tasktypes": ["text-to-image"]}
    server.on("GET /v1/runtimes", Reply({"runtimes": [runtime]}))
    server.on(f"{TASK}?links=60", Reply(task(links=["http://x/1"])))

    assert [(m.name, m.valid, m.problem) for m in darkroom.models()] == [
        ("a.safetensors", False, "is broken")
    ]
    assert [r.tasktypes for r in darkroom.runtimes()] == [("text-to-image",)]
    assert darkroom.links("first", seconds=60) == ["http://x/1"]


def test_usage_is_typed_and_money_is_exact(darkroom: Any, server: StubServer) -> None:
    counts = {"tasks": 3, "completed": 2, "failed": 1, "cancelled": 0, "images": 2}
    cost = {"currency": "USD", "amount": 0.1}
    group = {"name": "sdruntime", **counts, "gpu_seconds": 4.5, "cost": cost}
    days = {"from": "2026-11-01", "to": "2026-11-30", "group_by": "runtime"}
    free = {**group, "name": "free", "cost": None}
    server.on(
        "GET /v1/usage?from=2026-11-01&to=2026-11-30&group_by=runtime",
        Reply({**days, "groups": [group, free]}),
    )

    usage = darkroom.usage(date(2026, 11, 1), date(2026, 11, 30), group_by="runtime")

    assert (usage.from_, usage.to) == (date(2026, 11, 1), date(2026, 11, 30))
    assert [g.cost and g.cost.amount for g in usage.groups] == [Decimal("0.1"), None]


def test_proxy_of_the_environment_is_not_asked_for_what_is_here(
    connect: Callable[..., Any], server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on(TASK, Reply(task()))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert connect(server.url).task("first").uid == UID
    with pytest.raises(Unreachable):
        connect(server.url, trust_env=True, retry_seconds=0).task("first")


def test_errors_survive_another_process() -> None:
    failed = task(
        state="failed", error={"code": "no_output", "message": "m", "retryable": True}
    )
    error = pickle.loads(pickle.dumps(TaskFailed(Task.model_validate(failed))))  # noqa: S301  # ours

    assert (error.code, error.message, error.retryable) == ("no_output", "m", True)
    assert str(error) == "no_output: m"


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, Any]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {
            name.replace("aclose", "close"): str(inspect.signature(method)).split(" -> ")[0]
            for name, method in found
            if not name.startswith("_") or name == "__init__"
        }

    assert methods(Darkroom) == methods(AsyncDarkroom)


def test_everything_that_is_offered_is_there() -> None:
    assert [
        name for name in darkroom_client.__all__ if not hasattr(darkroom_client, name)
    ] == []
