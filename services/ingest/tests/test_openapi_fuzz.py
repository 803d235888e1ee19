"""What the document says is what the server does, whatever it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from ingest_fakes import (
    CALLER,
    KEY,
    TASK,
    UID,
    FakeNotifier,
    FakeRouter,
    FakeWebhooks,
    World,
    change,
    digest,
    rest,
    task_with,
)
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from contracts.keys import KeyScope
from contracts.state import TaskState
from darkroom.notifier.v1.webhooks_pb2 import Webhook
from darkroom.task.v1.task_pb2 import TaskError, TaskRecord
from ingest.domain import Caller, Change
from ingest.keys import Gate
from servicekit.errors import RejectedError

# The server in the other thread draws ids of spans while a case is made.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ANSWER_SECONDS = 60
EVENTS = "/v1/tasks/{id}/events"
# The document says "text": OpenAPI 3.1 has no schema for one event, and the tool wants one.
CHECKS_OF_EVENTS = [check for check in CHECKS if check is not response_schema_conformance]
ENDED = task_with(
    state=TaskState.FAILED,
    finished_at=TASK.started_at,
    error=TaskError(code="c", message="m", retryable=True),
    progress=None,
)


@dataclass
class ManyTasks(FakeRouter):
    """Has a running task for a third of all ids, an ended one for another, and none."""

    async def task(self, id: str, caller: Caller) -> TaskRecord:
        if len(id) % 3 == 2:
            raise RejectedError("there is no such task", code="task_not_found")
        return TASK if len(id) % 3 else ENDED


class ManyWebhooks(FakeWebhooks):
    """Has a webhook for half of all ids."""

    def _one(self, tenant: str, id: str) -> Webhook:
        if len(id) % 2:
            raise RejectedError("there is no such webhook", code="webhook_not_found")
        return Webhook(id=id, tenant=tenant, url="https://a.example", events=["failed"])

    async def delete(self, tenant: str, id: str) -> Webhook:
        return self._one(tenant, id)


class OneChange(FakeNotifier):
    """Tells of the end of each task at once, so that every stream ends."""

    async def watch(self, uid: str, after_sequence: int) -> AsyncGenerator[Change, None]:
        yield change(after_sequence + 1, state=TaskState.COMPLETED)


def send(url: str, method: str, path: str, mode: GenerationMode, key: str | None) -> set[int]:
    """Send what the operation's schema allows or forbids; gives the statuses of the answers."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    seen: set[int] = set()

    @seed(20260102)
    @settings(
        max_examples=20 if key is None else 60,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        case.headers.pop("x-api-key", None)
        headers = {} if key is None else {"x-api-key": key}
        checks = CHECKS_OF_EVENTS if path == EVENTS else CHECKS
        answer = case.call_and_validate(checks=checks, headers=headers, timeout=ANSWER_SECONDS)
        seen.add(answer.status_code)

    ask()
    return seen


OPERATIONS = [
    ("POST", "/v1alpha2"),
    ("POST", "/v1alpha1"),
    ("GET", "/v1/tasks"),
    ("GET", "/v1/tasks/{id}"),
    ("DELETE", "/v1/tasks/{id}"),
    ("GET", EVENTS),
    ("GET", "/v1/runtimes"),
    ("GET", "/v1/models"),
    ("GET", "/v1/webhooks"),
    ("POST", "/v1/webhooks"),
    ("DELETE", "/v1/webhooks/{id}"),
    ("POST", "/v1/webhooks/{id}/rotate"),
    ("POST", "/v1/webhooks/{id}/test"),
    ("POST", "/v1/webhooks/{id}/replay"),
    ("GET", "/v1/webhooks/{id}/deliveries"),
]
CASES = [
    pytest.param(method, path, mode, key, id=f"{method} {path} {mode.value} {name}")
    for method, path in OPERATIONS
    for mode in GenerationMode
    for key, name in ((KEY, "with a key"), (None, "without"))
]


@pytest.mark.parametrize(("method", "path", "mode", "key"), CASES)
async def test_no_request_gets_an_answer_that_the_document_lacks(
    spans: object, meter: object, method: str, path: str, mode: GenerationMode, key: str | None
) -> None:
    world = World(
        router=ManyTasks(),
        notifier=OneChange(),
        webhooks=ManyWebhooks(),
        patience=timedelta(0),
        make_uid=lambda: UID,
        gate=Gate({digest(KEY): replace(CALLER, scope=KeyScope.ADMIN)}),
    )
    async with rest(world, None) as client:
        seen = await asyncio.to_thread(send, str(client.base_url), method, path, mode, key)
    if key is None:
        assert 401 in seen
        assert seen <= {400, 401}  # 400: no HTTP at all, so the key was not looked at
    elif mode is GenerationMode.POSITIVE:
        assert seen & {200, 201, 202}
