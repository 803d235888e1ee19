"""What the runtimes have in common as HTTP servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import aiohttp
from pydantic_core import from_json, to_json

from queue_agent.beside import ungrouped
from queue_agent.domain import RuntimeLostError, RuntimeSilentError, TaskFailedError

CALL_BUDGET: Final = timedelta(seconds=15)
KEEP_ALIVE: Final = timedelta(seconds=3)  # shorter than the 5 s of uvicorn, SD WebUI's server
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_THREAD_BYTES: Final = 2**18  # from here on decoding is worth a thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A runtime's answer, whatever its status; `body` is text if it is not JSON."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Tell whether the runtime did what it was asked."""
        return self.status < _CLIENT_ERROR

    def failure(self, message: str, *, retryable: bool = False) -> TaskFailedError:
        """Give the failure that this answer is: `runtime_rejected` for what never ran."""
        code = "runtime_rejected" if self.status < _SERVER_ERROR else "runtime_error"
        return TaskFailedError(message, code=code, retryable=retryable, answer=self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """An answer that nobody has looked into yet."""

    status: int
    text: bytes = field(repr=False)

    async def decoded(self) -> Answer:
        """Give what it says."""
        return Answer(status=self.status, body=await _decoded(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeHttp:
    """Calls one runtime. Every method raises `RuntimeLostError` when it does not answer."""

    session: aiohttp.ClientSession

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Get JSON."""
        return await self._call("GET", path, params=params)

    async def get_bytes(self, path: str, params: Mapping[str, str]) -> bytes | None:
        """Get a file; None if there is none."""
        async with _reached(), self.session.get(path, params=params) as response:
            return await response.read() if response.ok else None

    async def post(
        self,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        form: aiohttp.FormData | None = None,
        budget: timedelta | None = CALL_BUDGET,
    ) -> Answer:
        """Post JSON, encoded already or not, or a form; waits for ever if `budget` is None."""
        if form is not None:
            return await self._call("POST", path, data=form, budget=budget)
        if json is not None:
            body = to_json(json)
        headers = {"Content-Type": "application/json"}
        return await self._call("POST", path, data=body, headers=headers, budget=budget)

    async def put(self, path: str) -> Answer:
        """Put nothing, as calls do that need no body."""
        return await self._call("PUT", path)

    async def post_raw(
        self, path: str, body: bytes | None, meanwhile: Callable[[], Coroutine[Any, Any, None]]
    ) -> RawAnswer:
        """Post JSON and wait for ever; `meanwhile` is done while the answer is read."""
        headers = {"Content-Type": "application/json"}
        async with (
            _reached(),
            self.session.request("POST", path, data=body, headers=headers) as response,
            ungrouped(),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(meanwhile(), name="meanwhile")
            text = await response.read()
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
            text = await response.read()
            status = response.status
        return Answer(status=status, body=await _decoded(text))


@asynccontextmanager
async def runtime_http(url: str) -> AsyncIterator[RuntimeHttp]:
    """Open a session to a runtime; calls that are given no time are only bounded at connect."""
    async with aiohttp.ClientSession(
        base_url=url,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        trust_env=False,
        connector=aiohttp.TCPConnector(keepalive_timeout=KEEP_ALIVE.total_seconds()),
    ) as session:
        yield RuntimeHttp(session=session)


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise RuntimeSilentError("the runtime takes too long to answer") from error
    except (aiohttp.ClientError, OSError) as error:
        raise RuntimeLostError(
            "the runtime does not answer", error=type(error).__name__
        ) from error


async def encoded(body: object) -> bytes:
    """Give JSON; of inputs it has many megabytes, and making it must not hold up the leases."""
    return await asyncio.to_thread(to_json, body)


async def _decoded(text: bytes) -> Any:
    try:
        if len(text) < _THREAD_BYTES:
            return from_json(text)
        return await asyncio.to_thread(from_json, text)
    except ValueError:
        return text.decode(errors="replace")
