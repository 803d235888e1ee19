"""`Sender` over HTTP: bounded, without redirects, to allowed addresses only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import aiohttp

from egress.addresses import AddressRules
from egress.connections import check_literal, checked_session
from egress.urls import RefusedUrlError, checked
from notifier.webhooks.ports import Answer

_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "darkroom-webhooks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSender:
    """Posts, and reads of an answer its status alone."""

    session: aiohttp.ClientSession
    rules: AddressRules
    patience: timedelta  # for a whole request

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Answer(error=f"no answer within {self.patience.total_seconds():g} s")
        except RefusedUrlError as error:
            return Answer(error=str(error))
        # An error of aiohttp may show the whole URL: its name says enough.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(error=f"the connection failed ({type(error).__name__})")

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        target = checked(url)
        check_literal(target, self.rules)
        async with self.session.post(
            target, data=body, headers=headers, allow_redirects=False
        ) as response:
            return Answer(status=response.status)


@asynccontextmanager
async def http_sender(*, rules: AddressRules, patience: timedelta) -> AsyncIterator[HttpSender]:
    """Open a sender with a session of its own."""
    async with checked_session(rules, _HEADERS) as session:
        yield HttpSender(session=session, rules=rules, patience=patience)
