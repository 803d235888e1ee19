"""`InputReader` for `http://` and `https://` URLs: bounded, without credentials and proxies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from egress.addresses import AddressRules
from egress.connections import check_literal, checked_session
from egress.urls import RefusedUrlError, checked, redirected
from queue_agent.domain import InputUnavailableError
from queue_agent.files.body import Body, save
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
        except RefusedUrlError as error:
            raise InputUnavailableError(str(error)) from None
        except (aiohttp.InvalidURL, ValueError):
            raise InputUnavailableError("the URL is not valid") from None
        # An error of aiohttp may show the whole URL: its name says enough.
        except (aiohttp.ClientError, OSError) as error:
            reason = f"the connection failed ({type(error).__name__})"
            raise InputUnavailableError(reason, retryable=True) from None

    async def _follow(self, url: URL, take: Take) -> Body:
        for _ in range(self.redirects + 1):
            check_literal(url, self.rules)
            async with self.session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _body(response, take)
                location = response.headers.get("Location", "")
            url = redirected(url, location)
        raise InputUnavailableError(f"more than {self.redirects} redirects")


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
    headers = {**_HEADERS, "User-Agent": agent}
    async with checked_session(rules, headers, resolver) as session:
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
