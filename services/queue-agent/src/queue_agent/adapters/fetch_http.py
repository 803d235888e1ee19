"""`InputReader` for `http://` and `https://` URLs: bounded, without credentials and proxies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from queue_agent.domain import InputUnavailableError
from queue_agent.ports import Take

AddressPolicy = Callable[[IPv4Address | IPv6Address], bool]
"""Whether inputs may come from an address; asked of each address of each hop."""

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429


def any_address(_: IPv4Address | IPv6Address) -> bool:
    """Let inputs come from everywhere."""
    return True


class _PolicyResolver(AbstractResolver):
    """Gives only the addresses that the policy allows, so a name cannot lead elsewhere."""

    def __init__(self, allowed: AddressPolicy) -> None:
        self._allowed = allowed
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if self._allowed(ip_address(one["host"]))]
        if not allowed:
            raise OSError("no address of the host is allowed")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpInputReader:
    """Reads by GET, following a few redirects, all within one time limit."""

    session: aiohttp.ClientSession
    allowed: AddressPolicy
    patience: timedelta
    redirects: int

    async def read(self, url: str, take: Take) -> bytes:
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                return await self._follow(_checked(url), take)
        except TimeoutError as error:
            raise InputUnavailableError("it took too long", retryable=True) from error
        except (aiohttp.InvalidURL, ValueError):
            raise InputUnavailableError("the URL is not valid") from None
        # An error of aiohttp may show the whole URL: its name says enough.
        except (aiohttp.ClientError, OSError) as error:
            reason = f"the connection failed ({type(error).__name__})"
            raise InputUnavailableError(reason, retryable=True) from None

    async def _follow(self, url: URL, take: Take) -> bytes:
        for _ in range(self.redirects + 1):
            self._check_literal(url)
            async with self.session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _body(response, take)
                location = response.headers.get("Location", "")
            url = _checked(url.join(URL(location)))
        raise InputUnavailableError(f"more than {self.redirects} redirects")

    def _check_literal(self, url: URL) -> None:
        # An address in the URL itself is never resolved.
        try:
            address = ip_address(url.host or "")
        except ValueError:
            return
        if not self.allowed(address):
            raise InputUnavailableError("the address is not allowed")


@asynccontextmanager
async def http_inputs(
    *, patience: timedelta, redirects: int, allowed: AddressPolicy = any_address
) -> AsyncIterator[HttpInputReader]:
    """Open a reader with a session of its own: no cookies, no proxies from the environment."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=_PolicyResolver(allowed), use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield HttpInputReader(
            session=session, allowed=allowed, patience=patience, redirects=redirects
        )


def _checked(url: str | URL) -> URL:
    parsed = URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InputUnavailableError("it leads to something else than http and https")
    if parsed.user is not None or parsed.password is not None:
        raise InputUnavailableError("the URL has credentials in it")
    return parsed


async def _body(response: aiohttp.ClientResponse, take: Take) -> bytes:
    if response.status != _OK:
        again = response.status >= _SERVER_ERROR or response.status == _TOO_MANY_REQUESTS
        raise InputUnavailableError(f"the answer was {response.status}", retryable=again)
    kept = bytearray()
    async for part in response.content.iter_any():
        take(len(part))
        kept += part
    return bytes(kept)
