"""What the runtimes have in common as HTTP servers."""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from pydantic_core import to_json

from queue_agent.concurrency import unwrap_group
from queue_agent.domain import (
    RuntimeGoneError,
    RuntimeLostError,
    RuntimeSilentError,
    RuntimeUnwellError,
    TaskFailedError,
)
from queue_agent.files.body import Body, FileBody, as_payload, open_body, save
from queue_agent.runtimes.json_stream import TooLongError, parsed

CALL_BUDGET: Final = timedelta(seconds=15)
KEEP_ALIVE: Final = timedelta(seconds=3)  # shorter than the 5 s of uvicorn, SD WebUI's server
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_FROM_GATEWAYS: Final = frozenset({502, 503, 504})
_SHOWN_BYTES: Final = 2**16  # of an answer that is no JSON
ANSWER_BYTES: Final = 2**30
_PART_BYTES: Final = 3 * 2**16  # base64 of three bytes is whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A runtime's answer, whatever its status; `body` is text if it is not JSON."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Whether the runtime did what it was asked."""
        return self.status < _CLIENT_ERROR

    def check_ready(self) -> None:
        """Return if it says that the server is up.

        Raises `RuntimeGoneError` where a gateway says that it is not, else `RuntimeUnwellError`
        for an error of its own, and `RuntimeLostError` for a refusal, which says what to do if
        the server wants a login.
        """
        if self.ok:
            return
        if self.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise RuntimeLostError(
                f"the runtime refuses us ({self.status}): give user and password in its URL, "
                "http://USER:PASSWORD@HOST:PORT",
                status=self.status,
            )
        if self.status in _FROM_GATEWAYS:
            raise RuntimeGoneError("the runtime is not there", status=self.status)
        kind = RuntimeUnwellError if self.status >= _SERVER_ERROR else RuntimeLostError
        raise kind(f"the runtime is not ready: it answers {self.status}", status=self.status)

    def failure(self, message: str, *, retryable: bool = False) -> TaskFailedError:
        """The failure that this answer is: `runtime_rejected` for what never ran."""
        code = "runtime_rejected" if self.status < _SERVER_ERROR else "runtime_error"
        return TaskFailedError(message, code=code, retryable=retryable, answer=self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """An answer that nobody has looked into yet."""

    status: int
    text: Body = field(repr=False)

    async def decoded(
        self, images: Collection[str] = (), echoed: Collection[str] = ()
    ) -> Answer:
        """What it says; long strings in the fields `images` are `LongString`.

        Fields `echoed` are without long base64. Raises `TaskFailedError` if there is too much
        besides.
        """
        return Answer(status=self.status, body=await _decoded(self.text, images, echoed))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeHttp:
    """Calls one runtime. Every method raises `RuntimeLostError` when it does not answer."""

    session: aiohttp.ClientSession
    answer_bytes: int = ANSWER_BYTES  # of one answer; a larger one is a failure of the task

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        budget: timedelta = CALL_BUDGET,
    ) -> Answer:
        """Get JSON."""
        return await self._call("GET", path, params=params, budget=budget)

    async def delete(self, path: str) -> Answer:
        """Have something deleted."""
        return await self._call("DELETE", path)

    async def get_file(self, path: str, params: Mapping[str, str]) -> Body | None:
        """Get a file; None if there is none."""
        async with _reached(), self.session.get(path, params=params) as response:
            return await self._body(response) if response.ok else None

    async def post(
        self,
        path: str,
        *,
        json: Any = None,
        body: Body | None = None,
        form: aiohttp.FormData | None = None,
        params: Mapping[str, str] | None = None,
        budget: timedelta | None = CALL_BUDGET,
    ) -> Answer:
        """Post JSON, encoded already or not, or a form; waits for ever if `budget` is None."""
        if form is not None:
            return await self._call("POST", path, data=form, params=params, budget=budget)
        if json is not None:
            body = to_json(json)
        headers = {"Content-Type": "application/json"}
        with as_payload(body or b"") as sent:
            return await self._call(
                "POST", path, data=sent, headers=headers, params=params, budget=budget
            )

    async def put(self, path: str) -> Answer:
        """Put nothing, as calls do that need no body."""
        return await self._call("PUT", path)

    async def post_raw(
        self, path: str, body: Body | None, meanwhile: Callable[[], Coroutine[Any, Any, None]]
    ) -> RawAnswer:
        """Post JSON and wait for ever; `meanwhile` is done while the answer is read."""
        headers = {"Content-Type": "application/json"}
        with as_payload(body or b"") as sent:
            async with (
                _reached(),
                self.session.request("POST", path, data=sent, headers=headers) as response,
                unwrap_group(),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(meanwhile(), name="meanwhile")
                text = await self._body(response)
        return RawAnswer(status=response.status, text=text)

    async def _call(
        self, method: str, path: str, budget: timedelta | None = CALL_BUDGET, **request: Any
    ) -> Answer:
        seconds = budget.total_seconds() if budget else None
        async with (
            _reached(),
            asyncio.timeout(seconds),
            self.session.request(method, path, **request) as response,
        ):
            text = await self._body(response)
            status = response.status
        return Answer(status=status, body=await _decoded(text))

    async def _body(self, response: aiohttp.ClientResponse) -> Body:
        total = 0

        def take(size: int) -> None:
            nonlocal total
            total += size
            if total > self.answer_bytes:
                raise _too_large(f"it has more than {self.answer_bytes} bytes")

        return await save(response.content.iter_any(), take)


@asynccontextmanager
async def runtime_http(
    url: str, answer_bytes: int = ANSWER_BYTES
) -> AsyncIterator[RuntimeHttp]:
    """Open a session to a runtime; calls that are given no time are only bounded at connect."""
    async with aiohttp.ClientSession(
        base_url=url,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        trust_env=False,
        connector=aiohttp.TCPConnector(keepalive_timeout=KEEP_ALIVE.total_seconds()),
    ) as session:
        yield RuntimeHttp(session=session, answer_bytes=answer_bytes)


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise RuntimeSilentError("the runtime takes too long to answer") from error
    except aiohttp.ClientConnectorError as error:
        raise RuntimeGoneError("the runtime does not answer") from error
    except (aiohttp.ClientError, OSError) as error:
        raise RuntimeLostError(
            "the runtime does not answer", error=type(error).__name__
        ) from error


async def encoded(body: object, inputs: Mapping[str, Body]) -> Body:
    """JSON with the inputs, as base64, instead of their placeholder tokens.

    With inputs it has many megabytes, and making it must not hold up the leases.
    """
    return await asyncio.to_thread(_encoded, body, inputs)


def _encoded(body: object, inputs: Mapping[str, Body]) -> Body:
    text = to_json(body)
    if not inputs:
        return text
    request, at = FileBody(), 0
    tokens = re.compile(b"|".join(re.escape(token.encode()) for token in inputs))
    for found in tokens.finditer(text):
        request.write(text[at : found.start()])
        with open_body(inputs[found[0].decode()]) as reader:
            while part := reader.read(_PART_BYTES):
                request.write(binascii.b2a_base64(part, newline=False))
        at = found.end()
    request.write(text[at:])
    return request


async def _decoded(
    text: Body, images: Collection[str] = (), echoed: Collection[str] = ()
) -> Any:
    try:
        if isinstance(text, bytes):
            return parsed(text, images, echoed=echoed)
        return await asyncio.to_thread(parsed, text, images, echoed=echoed)
    except TooLongError as error:
        raise _too_large(str(error)) from error
    except ValueError:
        shown = text if isinstance(text, bytes) else text.read(0, _SHOWN_BYTES)
        return shown.decode(errors="replace")


def _too_large(reason: str) -> TaskFailedError:
    return TaskFailedError(f"the runtime's answer is too large: {reason}", code="runtime_error")
