"""Connections to hosts that strangers name: to addresses that were checked, and no others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from egress.addresses import AddressRules
from egress.urls import RefusedUrlError, literal_address


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
            raise RefusedUrlError(complaint)
        return found

    async def close(self) -> None:
        await self._inner.close()


def check_literal(url: URL, rules: AddressRules) -> None:
    """Raise `RefusedUrlError` if the URL itself names an address that is not allowed.

    Such an address is never resolved, so a session does not see it.
    """
    address = literal_address(url)
    if address is not None:
        complaint = rules.complaint(str(address), url.port or 0, [address])
        if complaint:
            raise RefusedUrlError(complaint)


async def check_host(url: URL, rules: AddressRules, patience: timedelta) -> None:
    """Raise `RefusedUrlError` if the URL leads nowhere now, or where it may not.

    So people learn of it at once; what is connected to later is checked then.
    """
    check_literal(url, rules)
    if literal_address(url) is None:
        resolver = _CheckedResolver(ThreadedResolver(), rules)
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await resolver.resolve(url.raw_host or "", url.port or 0, socket.AF_UNSPEC)
        except OSError:  # TimeoutError, too
            raise RefusedUrlError("the host's name cannot be resolved") from None


@asynccontextmanager
async def checked_session(
    rules: AddressRules, headers: Mapping[str, str], resolver: AbstractResolver | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session whose connections raise `RefusedUrlError` for hosts that are not allowed.

    It has no cookies, takes no proxies from the environment and sets no time limit. Each
    connection resolves its host once and goes to what was checked; `resolver` stands in for
    the system's. To be used with `check_literal` before each request, without redirects.
    """
    checking = _CheckedResolver(resolver or ThreadedResolver(), rules)
    async with aiohttp.ClientSession(
        # Neither names nor connections are kept: every hop is checked anew.
        connector=aiohttp.TCPConnector(
            resolver=checking, use_dns_cache=False, force_close=True, limit=0
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield session
