"""`InputReader` for `http://` and `https://` URLs: bounded, without credentials and proxies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from queue_agent.domain import InputUnavailableError
from queue_agent.files.body import Body, save
from queue_agent.inputs.addresses import AddressRules
from queue_agent.inputs.urls import checked, literal_address, redirected
from queue_agent.ports import Take

_OK: Final = 200
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SERVER_ERROR: Final = 500
_TOO_MANY_REQUESTS: Final = 429
# What a server says when it means a page or an error; otherwise the bytes decide, for many a
# store was never told a type.
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml", "application/json"})
_MODEL: Final = "model/"  # glTF is JSON: `model/gltf+json`
# A small answer must not grow beyond the limit when it is unpacked.
_HEADERS: Final = {"Accept": "*/*", "Accept-Encoding": "identity"}


class _CheckedResolver(AbstractResolver):
    """Resolves to the addresses that are connected to, and to none of a refused host."""

    def __init__(self, inner: AbstractResolver, rules: AddressRules) -> None:
        self._inner = inner
        self._rules = rules

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        addresses = [ip_address(one["host"]) for one in found]
        if complaint := self._rules.complaint(host, port, addresses):
            raise InputUnavailableError(complaint)
        return found

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpInputReader:
    """Reads by GET, following a few redirects, all within one time limit."""

    session: aiohttp.ClientSession
    rules: AddressRules
    patience: timedelta
    redirects: int

    async def read(self, url: str, take: Take) -> Body:
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                return await self._follow(checked(url), take)
        except TimeoutError as error:
            raise InputUnavailableError("it took too long", retryable=True) from error
        except (aiohttp.InvalidURL, ValueError):
            raise InputUnavailableError("the URL is not valid") from None
        # An error of aiohttp may show the whole URL: its name says enough.
        except (aiohttp.ClientError, OSError) as error:
            reason = f"the connection failed ({type(error).__name__})"
            raise InputUnavailableError(reason, retryable=True) from None

    async def _follow(self, url: URL, take: Take) -> Body:
        for _ in range(self.redirects + 1):
            self._check_literal(url)
            async with self.session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _body(response, take)
                location = response.headers.get("Location", "")
            url = redirected(url, location)
        raise InputUnavailableError(f"more than {self.redirects} redirects")

    def _check_literal(self, url: URL) -> None:
        # An address in the URL itself is never resolved.
        address = literal_address(url)
        if address is not None:
            complaint = self.rules.complaint(str(address), url.port or 0, [address])
            if complaint:
                raise InputUnavailableError(complaint)


@asynccontextmanager
async def http_inputs(
    *,
    patience: timedelta,
    redirects: int,
    rules: AddressRules,
    agent: str,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[HttpInputReader]:
    """Open a reader with a session of its own: no cookies, no proxies from the environment.

    It says that it is `agent`, for some servers refuse whoever does not say who asks.
    Each connection resolves its host once and goes to what was checked; `resolver` stands in
    for the system's.
    """
    checking = _CheckedResolver(resolver or ThreadedResolver(), rules)
    async with aiohttp.ClientSession(
        # Neither names nor connections are kept: every hop is checked anew.
        connector=aiohttp.TCPConnector(
            resolver=checking, use_dns_cache=False, force_close=True
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={**_HEADERS, "User-Agent": agent},
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield HttpInputReader(
            session=session, rules=rules, patience=patience, redirects=redirects
        )


async def _body(response: aiohttp.ClientResponse, take: Take) -> Body:
    if response.status != _OK:
        again = response.status >= _SERVER_ERROR or response.status == _TOO_MANY_REQUESTS
        raise InputUnavailableError(f"the answer was {response.status}", retryable=again)
    _check_form(response)
    return await save(response.content.iter_any(), take)


def _check_form(response: aiohttp.ClientResponse) -> None:
    given = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if given in _PAGES or (given.endswith("+json") and not given.startswith(_MODEL)):
        raise InputUnavailableError("the answer is a page or JSON, not a file")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise InputUnavailableError("the answer is packed, which was not asked for")
