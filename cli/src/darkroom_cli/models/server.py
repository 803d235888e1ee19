"""A file of a web server, from any byte on, over as many connections as it takes.

httpx does not continue a file; the hub's own library brings a cache and a layout of its own,
and smaller ones neither hold a server to what it said nor keep a token from other hosts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

import httpx

from darkroom_cli.errors import CommandError
from darkroom_cli.models import hub
from darkroom_cli.models.files import Model, without_secrets

SILENT_SECONDS: Final = 60
REDIRECTS: Final = 10
ATTEMPTS: Final = 4  # in a row that bring less than PROGRESS_BYTES each
PROGRESS_BYTES: Final = 2**20
PAUSE_SECONDS: Final = 1.0  # after the first of them; twice as long after the next
PAUSE_CAP_SECONDS: Final = 60.0  # whatever the server asks for
_PASSING: Final = {408, 429, 500, 502, 503, 504}
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_SUM: Final = re.compile(r'"([0-9a-f]{64})"')


class StartOverError(CommandError):
    """The server does not continue what came so far."""


class _PassingError(Exception):
    """What another attempt may mend."""

    def __init__(self, why: str, pause_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.pause_seconds = pause_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Which content of a URL it is, as far as its server tells."""

    size_bytes: int | None = None
    validator: str | None = None  # what If-Range takes; None: it cannot be continued
    sha256: str | None = None  # as the hub tells it


@dataclass(slots=True, kw_only=True)
class ServedFile:
    """One file, which is connected to before its blocks are read; raises `CommandError`."""

    model: Model
    client: httpx.AsyncClient
    version: Version = field(default_factory=Version)
    start: int = 0  # where its blocks begin
    pause_seconds: float = PAUSE_SECONDS
    _answer: httpx.Response | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)

    async def connect(self) -> None:
        """Have it coming; sets `version`, and `start` to 0 if the server begins there."""
        self.start = await self._connect(self.start)

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Its bytes from `start` on; raises `StartOverError` if it cannot be continued."""
        at = self.start
        while True:
            begun, why = at, None
            try:
                async with aclosing(self._arriving()) as arriving:
                    async for block in arriving:
                        at += len(block)
                        yield block
            except _PassingError as error:
                why = error
            size = self.version.size_bytes
            if at == size or (size is None and why is None):
                return
            why = why or _PassingError(f"{size} bytes were promised and {at} came")
            if self.version.validator is None:
                raise StartOverError(f"{self.model.origin}: {self._missing(at) or why}")
            if at - begun >= PROGRESS_BYTES:
                self._failures = 0
            else:
                await self._failed(why, self._missing(at))
            if await self._connect(at) != at:
                told = f"it broke off at {at} bytes, and the server does not continue it"
                raise StartOverError(f"{self.model.origin}: {told}")

    async def close(self) -> None:
        """End the connection."""
        if self._answer:
            await self._answer.aclose()
            self._answer = None

    async def _connect(self, at: int) -> int:
        """Have its bytes from `at` on coming, or from 0 on; which, is returned."""
        while True:
            await self.close()
            try:
                self._answer = await self._asked(at)
                return self._accepted(self._answer, at)
            except _PassingError as error:
                await self._failed(error)

    async def _failed(self, error: _PassingError, missing: str | None = None) -> None:
        """Wait before the next attempt; raises `CommandError` after the last."""
        self._failures += 1
        if self._failures == ATTEMPTS:
            told = f"{missing or error}, after {ATTEMPTS} attempts; run it again"
            raise CommandError(f"{self.model.origin}: {told}")
        doubled = self.pause_seconds * 2 ** (self._failures - 1)
        await asyncio.sleep(min(max(doubled, error.pause_seconds), PAUSE_CAP_SECONDS))

    def _missing(self, at: int) -> str | None:
        size = self.version.size_bytes
        return None if size is None else f"{size} bytes were promised and {at} came"

    async def _arriving(self) -> AsyncGenerator[bytes, None]:
        if self._answer is None:
            raise RuntimeError("connect() comes first")
        try:
            async for block in self._answer.aiter_raw():
                yield block
        except httpx.TransportError as error:
            raise _PassingError(_told(error)) from error

    async def _asked(self, at: int) -> httpx.Response:
        """The answer to a request for the bytes from `at` on, wherever it redirects to."""
        headers = {"accept-encoding": "identity"}
        if at:
            headers |= {"range": f"bytes={at}-", "if-range": self.version.validator or ""}
        source = url = httpx.URL(self.model.source)
        for _ in range(REDIRECTS):
            own = self.model.headers if _origin(url) == _origin(source) else {}
            request = self.client.build_request("GET", url, headers={**own, **headers})
            answer = await self._sent(request)
            self._hear_sum(answer)
            if not answer.has_redirect_location:
                return answer
            await answer.aclose()
            url = redirected(url, answer.headers["location"])
        raise CommandError(f"{self.model.origin}: it redirects more than {REDIRECTS} times")

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self.client.send(request, stream=True)
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError):
            raise  # no other attempt mends the request itself
        except httpx.TransportError as error:
            raise _PassingError(_told(error)) from error

    def _hear_sum(self, answer: httpx.Response) -> None:
        """The hub tells the sum of a file before it redirects to where that is."""
        if hub.is_hub(self.model.source) and hub.is_hub(str(answer.url)):
            told = _SUM.fullmatch(answer.headers.get("x-linked-etag", ""))
            self.version = replace(self.version, sha256=told and told[1])

    def _accepted(self, answer: httpx.Response, at: int) -> int:
        """Where the answer begins: at `at`, or at 0."""
        if answer.status_code in _PASSING:
            raise _PassingError(_status(answer), _retry_after(answer))
        if at and answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise StartOverError(f"{self.model.origin}: {self._missing(at) or _status(answer)}")
        if not answer.is_success:
            raise CommandError(f"{self.model.origin}: {self._refusal(answer)}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise CommandError(
                f"{self.model.origin}: the server packs it, and was asked not to"
            )
        if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
            self.version = self._version(answer)
            return 0
        self._check_range(answer, at)
        return at

    def _check_range(self, answer: httpx.Response, at: int) -> None:
        """Return if it is what was asked for, of the file that was begun."""
        told = answer.headers.get("content-range", "")
        match = _RANGE.fullmatch(told)
        size = self.version.size_bytes
        sizes = {"*", str(size)} if size is not None else {match and match[2]}
        if not at or match is None or int(match[1]) != at or match[2] not in sizes:
            asked = f"bytes {at}-/{size or '*'}"
            raise StartOverError(
                f"{self.model.origin}: the server answered {told or 'no range'} to {asked}"
            )
        if _validator(answer) not in {None, self.version.validator}:
            raise StartOverError(f"{self.model.origin}: it has changed since it was begun")

    def _version(self, answer: httpx.Response) -> Version:
        told, wanted = answer.headers.get("content-length"), self.model.size_bytes
        size = wanted if told is None else int(told)
        if wanted not in {None, size}:
            raise CommandError(
                f"{self.model.origin}: the server has a file of {size} bytes, not of {wanted}"
            )
        return replace(self.version, size_bytes=size, validator=_validator(answer))

    def _refusal(self, answer: httpx.Response) -> str:
        if answer.status_code not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return _status(answer)
        if not hub.is_hub(self.model.source):
            return f"{_status(answer)}; --headers-file takes a token"
        page = hub.page_of(self.model.source)
        return f"{_status(answer)}; accept its terms at {page} and set HF_TOKEN"


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads; raises `CommandError` if what was encrypted would be no more."""
    target = url.join(location)
    if target.scheme not in {"https", url.scheme}:
        raise CommandError(
            f"{without_secrets(str(url))}: it redirects to {target.scheme}, which is not safe"
        )
    return target


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _validator(answer: httpx.Response) -> str | None:
    """What If-Range takes: an ETag if it is a strong one, or else a date."""
    tag: str | None = answer.headers.get("etag")
    return tag if tag and tag.startswith('"') else answer.headers.get("last-modified")


def _status(answer: httpx.Response) -> str:
    return f"the server answered {answer.status_code} {answer.reason_phrase}".rstrip()


def _retry_after(answer: httpx.Response) -> float:
    told = answer.headers.get("retry-after", "")
    return float(told) if told.isdecimal() else 0.0


def _told(error: httpx.TransportError) -> str:
    """What went wrong, without the texts of httpx, which may have the URL or a header."""
    match error:
        case httpx.TimeoutException():
            return f"the server is silent for {SILENT_SECONDS} s"
        case httpx.ConnectError():
            return "the server cannot be reached"
        case _:
            return "the connection broke off"
