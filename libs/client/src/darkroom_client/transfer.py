"""How both clients use httpx: what a request becomes, and how its answer is collected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from darkroom_client.errors import InvalidRequest, TooLarge, Unreachable
from darkroom_client.exchange import Answer, Send

OK: Final = 200
TRANSFER_SECONDS: Final = 600  # one answer in whole


def http_options(endpoint: str, timeout: float, trust_env: bool | None) -> dict[str, Any]:
    """The arguments of a client of httpx; raises `InvalidRequest` if it is no endpoint.

    No proxy can reach this machine, so those of the environment are for other endpoints only.
    """
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise InvalidRequest(f"{endpoint} is no http:// or https:// URL")
    return {
        "timeout": timeout,
        "trust_env": not _is_here(host) if trust_env is None else trust_env,
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
    }


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def http_request(http: httpx.Client | httpx.AsyncClient, send: Send) -> httpx.Request:
    """The request of httpx; raises `InvalidRequest` for a URL that is none."""
    usual = http.timeout.read or 0  # as all of its parts
    timeout = httpx.Timeout(usual, read=usual + send.seconds)
    try:
        return http.build_request(
            send.method,
            send.url,
            headers=dict(send.headers),
            params=dict(send.params) or None,
            content=_content(http, send),
            timeout=timeout,
        )
    except httpx.InvalidURL as error:
        raise InvalidRequest(f"a link of the server is no URL: {error}") from error


def _content(http: httpx.Client | httpx.AsyncClient, send: Send) -> Any:
    if send.upload is None:
        return send.body
    pieces = send.upload.pieces()
    return _awaited(pieces) if isinstance(http, httpx.AsyncClient) else pieces


async def _awaited(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same, read beside the event loop."""
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Raise `Unreachable` for what httpx raises; it names the server and no more of `url`."""
    try:
        yield
    except httpx.HTTPError as error:
        server = httpx.URL(url).copy_with(raw_path=b"/", fragment=None)
        reason = type(error).__name__
        raise Unreachable(f"{server} cannot be reached: {reason}") from error


class Collected:
    """The body of an answer as it comes in; raises when it is too large or takes too long."""

    def __init__(self, send: Send) -> None:
        self._limit = send.limit
        self._ends = time.monotonic() + TRANSFER_SECONDS
        self._body = bytearray()

    def add(self, part: bytes) -> None:
        """Take the next bytes; raises `TooLarge` and `Unreachable`."""
        self._body += part
        if len(self._body) > self._limit:
            raise TooLarge(f"there are more than {self._limit} bytes")
        if time.monotonic() > self._ends:
            raise Unreachable(f"the answer takes longer than {TRANSFER_SECONDS} s")

    def answer(self, response: httpx.Response) -> Answer:
        """All of it."""
        return Answer(response.status_code, response.headers, bytes(self._body))
