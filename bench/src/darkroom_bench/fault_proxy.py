"""A proxy before an AWS endpoint that answers wrongly, late or not at all, when told to."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from yarl import URL

HOST: Final = "127.0.0.1"
BODY_BYTES: Final = 256 * 2**20
LARGE_BYTES: Final = 2**20  # from here on a client sends in parts
TARGETS: Final = {"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs"}
# Of the connection, not of the message; a body is handed on whole, so its length is known.
HOP: Final = frozenset(
    {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "expect"}
)
_SCOPE: Final = re.compile(r"Credential=[^/]+/\d+/[^/]+/(\w+)/aws4_request")
_THROTTLES: Final = {
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "sqs": (400, "RequestThrottled"),
    "sns": (400, "Throttling"),
    "s3": (503, "SlowDown"),
}


_DENIALS: Final = {
    "dynamodb": (400, "AccessDeniedException"),
    "sqs": (403, "AccessDeniedException"),
    "sns": (403, "AuthorizationError"),
    "s3": (403, "AccessDenied"),
}


class Wrong(StrEnum):
    """What can go wrong with a call."""

    ERROR = "5xx"
    THROTTLED = "throttled"
    UNSENT = "connection lost before the call"
    UNHEARD = "connection lost after the call"
    SLOW = "slow"
    SILENT = "no answer"
    DENIED = "access denied"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of AWS; of S3 the operation is the method of HTTP."""

    service: str
    operation: str
    body: bytes


@dataclass(slots=True, kw_only=True)
class Rule:
    """Makes the next `count` calls of a service go wrong."""

    service: str
    wrong: Wrong
    count: int
    seconds: float = 0  # of a late answer
    hits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A boundary in the way of a task: just before a call reaches AWS, or just after it did.

    An operation on a batch is the same step.
    """

    service: str
    operation: str
    word: str = ""  # in the call
    answer_word: str = ""  # in its answer; only after
    after: bool = False

    def is_at(self, call: Call, answer: bytes | None) -> bool:
        """Whether this is it; `answer` is None before the call."""
        return (
            self.after == (answer is not None)
            and self.service == call.service
            and call.operation.removesuffix("Batch") == self.operation
            and self.word.encode() in call.body
            and self.answer_word.encode() in (answer or b"")
        )


@dataclass(slots=True)
class FaultProxy:
    """The rules and the trap that are in force; changed from the same event loop."""

    target: str  # URL of the endpoint behind
    rules: list[Rule] = field(default_factory=list)
    on_hit: Callable[[], None] = lambda: None
    _trap: tuple[Step, Callable[[], None]] | None = None

    def trap(self, step: Step, spring: Callable[[], None]) -> None:
        """Call `spring` once, when a call is at the step; the call then goes on."""
        self._trap = (step, spring)

    def clear(self) -> None:
        """Let every call pass from now on."""
        self.rules.clear()
        self._trap = None

    def take(self, service: str) -> Rule | None:
        """The rule for a call of this service, which has one use less then."""
        for rule in self.rules:
            if rule.service == service and rule.hits < rule.count:
                rule.hits += 1
                self.on_hit()
                return rule
        return None

    def pass_by(self, call: Call, answer: bytes | None) -> None:
        """Spring the trap if it is at this step."""
        if self._trap and self._trap[0].is_at(call, answer):
            spring = self._trap[1]
            self._trap = None
            spring()


@asynccontextmanager
async def fault_proxy(target: str, port: int) -> AsyncIterator[FaultProxy]:
    """Listen on a port of this machine for calls to the endpoint at `target`."""
    proxy = FaultProxy(target)
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        auto_decompress=False, timeout=timeout, connector=connector
    ) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            return await _handle(proxy, session, request)

        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        try:
            yield proxy
        finally:
            await runner.cleanup()


async def _handle(
    proxy: FaultProxy, session: aiohttp.ClientSession, request: web.Request
) -> web.Response:
    call = call_of(request.method, dict(request.headers), await request.read())
    rule = proxy.take(call.service)
    if rule is None:
        return await _forward(proxy, session, request, call)
    match rule.wrong:
        case Wrong.ERROR | Wrong.THROTTLED | Wrong.DENIED:
            return refusal(call.service, *_answer(rule))
        case Wrong.SLOW:
            await asyncio.sleep(rule.seconds)
            return await _forward(proxy, session, request, call)
        case Wrong.UNHEARD:
            await _forward(proxy, session, request, call)
        case Wrong.SILENT:
            await asyncio.sleep(rule.seconds)
        case Wrong.UNSENT:
            pass
    return _lose(request)


def _answer(rule: Rule) -> tuple[int, str]:
    """The status and the code by which a service refuses a call."""
    if rule.wrong is Wrong.ERROR:
        return 503 if rule.hits % 2 else 500, "InternalError"
    return (_DENIALS if rule.wrong is Wrong.DENIED else _THROTTLES)[rule.service]


async def _forward(
    proxy: FaultProxy, session: aiohttp.ClientSession, request: web.Request, call: Call
) -> web.Response:
    proxy.pass_by(call, None)
    headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP}
    url = URL(proxy.target + request.raw_path, encoded=True)
    sent = io.BytesIO(call.body) if len(call.body) > LARGE_BYTES else call.body
    try:
        async with session.request(
            request.method, url, data=sent, headers=headers, allow_redirects=False
        ) as answer:
            body = await answer.read()
            proxy.pass_by(call, body)
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP}
            if request.method == "HEAD":  # the length of what is not sent
                kept["Content-Length"] = answer.headers.get("Content-Length", "0")
            return web.Response(status=answer.status, body=body, headers=kept)
    except (aiohttp.ClientError, TimeoutError):
        return _lose(request)


def call_of(method: str, headers: dict[str, str], body: bytes) -> Call:
    """Which call a request is, by its headers and body."""
    lower = {name.lower(): value for name, value in headers.items()}
    service, _, operation = lower.get("x-amz-target", "").partition(".")
    if service in TARGETS:
        return Call(TARGETS[service], operation, body)
    scope = _SCOPE.search(lower.get("authorization", ""))
    if scope and scope[1] == "sns":
        return Call("sns", parse_qs(body.decode(errors="replace")).get("Action", [""])[0], body)
    return Call("s3", method, body)


def refusal(service: str, status: int, code: str) -> web.Response:
    """An error as the service would."""
    if service in TARGETS.values():
        text = f'{{"__type": "com.amazonaws.{service}#{code}", "message": "injected"}}'
        return web.Response(
            status=status, body=text.encode(), content_type="application/x-amz-json-1.0"
        )
    error = f"<Code>{code}</Code><Message>injected</Message>"
    if service == "sns":
        error = f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
    else:
        error = f"<Error>{error}</Error>"
    return web.Response(status=status, body=error.encode(), content_type="text/xml")


def _lose(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)
