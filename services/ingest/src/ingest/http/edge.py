"""What stands before every route: tracing, the key, the throttle, and the answer to errors."""

from __future__ import annotations

import logging
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from math import ceil
from typing import Any, Final

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import NoOpMeterProvider
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.keys import KeyScope
from ingest.domain import Caller
from ingest.http.problems import Problems
from ingest.keys import Gate
from ingest.metrics import Metrics
from ingest.native.calls import native_call

log = logging.getLogger(__name__)

_CALLER: Final = "ingest.caller"
_QUERY: Final = "ingest.query_string"

_OPERATIONS: Final = {
    "/v1alpha2": "submit_v1alpha2",
    "/v1alpha1": "submit_v1alpha1",
    "/v1/tasks": "list_tasks",
    "/v1/runtimes": "list_runtimes",
    "/v1/models": "list_models",
    "/v1/usage": "get_usage",
    "/v1/overview": "get_overview",
    "/v1/dead-letters": "list_dead_letters",
    "/v1/dead-letters/redrive": "redrive_dead_letters",
    "/v1/dead-letters/purge": "purge_dead_letters",
    "/openapi.json": "openapi",
    "/docs": "docs",
}
_FOR_OPERATORS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_SECRET: Final = ["authorization", "cookie", "idempotency-key", "x-api-key"]
_KEYLESS: Final = frozenset({"openapi", "docs"})
_SUBMITTING: Final = frozenset(
    {
        "submit_v1alpha2",
        "submit_v1alpha1",
        "cancel_task",
        "list_webhooks",
        "list_deliveries",
    }
)
_CHANGING_WEBHOOKS: Final = {
    ("POST", ""): "create_webhook",
    ("DELETE", ""): "delete_webhook",
    ("POST", "rotate"): "rotate_webhook",
    ("POST", "test"): "test_webhook",
    ("POST", "replay"): "replay_webhook",
}
_ADMINISTERING: Final = frozenset(
    {
        *_CHANGING_WEBHOOKS.values(),
        "list_dead_letters",
        "redrive_dead_letters",
        "purge_dead_letters",
    }
)


def operation_of(method: str, path: str) -> str:
    """The name of what is asked for: one of few, so that it may label a metric."""
    if native := native_call(path):
        return native.operation
    if path.startswith("/v1/tasks/"):
        if path.endswith("/events"):
            return "watch_task"
        if path.endswith("/request"):
            return "get_task_request"
        return "cancel_task" if method == "DELETE" else "get_task"
    if path.startswith("/v1/webhooks"):
        return _webhook_operation(method, path)
    return _OPERATIONS.get(path, "unknown")


def _webhook_operation(method: str, path: str) -> str:
    action = (*path.split("/"), "", "")[4]
    reading = "list_deliveries" if action == "deliveries" else "list_webhooks"
    return _CHANGING_WEBHOOKS.get((method, action), reading)


def scope_of(operation: str) -> KeyScope:
    """What a key must be good for."""
    if operation in _ADMINISTERING:
        return KeyScope.ADMIN
    return KeyScope.SUBMIT if operation in _SUBMITTING else KeyScope.READ


def caller_of(scope: Scope) -> Caller:
    """Whose key the request came with."""
    caller: Caller = scope[_CALLER]
    return caller


def keys_of(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """The keys that a request came with: as ours, as Bearer, or as the password of Basic."""
    keys = []
    for name, value in headers:
        if name == b"x-api-key":
            keys.append(value)
        elif name == b"authorization":
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                keys.append(rest.strip())
            elif scheme.lower() == b"basic":
                with suppress(ValueError):
                    keys.append(b64decode(rest, validate=True).partition(b":")[2])
    return keys


class Edge:
    """Lets requests with a valid key pass, and answers every error that comes back."""

    def __init__(
        self, app: ASGIApp, *, gate: Gate, problems: Problems, metrics: Metrics
    ) -> None:
        self._app = app
        self._gate = gate
        self._problems = problems
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; never raises."""
        scope = {**scope, "query_string": scope.pop(_QUERY, b"")}
        operation = operation_of(scope["method"], scope["path"])
        native = native_call(scope["path"])
        with self._metrics.measured(operation, "rest") as call:
            started = False

            async def sending(message: Message) -> None:
                nonlocal started
                if message["type"] == "http.response.start":
                    started = True
                    call.status = str(message["status"])
                    if caller := scope.get(_CALLER):
                        message = _with_limits(message, caller, self._gate)
                await send(message)

            try:
                if operation not in _KEYLESS:
                    scope[_CALLER] = self._gate.caller(keys_of(scope["headers"]))
                    needs = native.scope if native else scope_of(operation)
                    await self._gate.let_in(scope[_CALLER], needs)
                await self._app(scope, receive, sending)
            except Exception as error:  # noqa: BLE001  # the edge answers for every error
                if not started:  # else the app has answered and logged it
                    answer = self._problems.answer(error, scope["path"])
                    await answer(scope, receive, sending)


def _with_limits(message: Message, caller: Caller, gate: Gate) -> Message:
    """The beginning of an answer that tells what the key may still ask."""
    room = gate.room(caller)
    limits = {
        b"ratelimit-limit": caller.burst,
        b"ratelimit-remaining": room.free,
        b"ratelimit-reset": ceil(room.reset.total_seconds()),
    }
    headers = [(name, str(value).encode()) for name, value in limits.items()]
    return {**message, "headers": [*message["headers"], *headers]}


class Front:
    """Serves operators plainly and everybody else through `edge`, with a trace.

    The trace gets neither headers nor the query, where a client may have put its key.
    """

    def __init__(self, app: ASGIApp, edge: Edge) -> None:
        self._app = app
        self._traced: ASGIApp = OpenTelemetryMiddleware(
            edge,
            default_span_details=_span_details,
            meter_provider=NoOpMeterProvider(),  # `Metrics` counts, with fixed names
            exclude_spans=["receive", "send"],
            http_capture_headers_sanitize_fields=_SECRET,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] in _FOR_OPERATORS:
            await self._app(scope, receive, send)
            return
        hidden = {_QUERY: scope["query_string"], "query_string": b""}
        await self._traced({**scope, **hidden}, receive, send)


def _span_details(scope: Scope) -> tuple[str, dict[str, Any]]:
    return operation_of(scope["method"], scope["path"]), {}
