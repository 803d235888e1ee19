"""The stack that the pages show: every call of it has a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from starlette.requests import Request

from darkroom_client import AsyncDarkroom, DarkroomError, Unreachable

T = TypeVar("T")

STEP_SECONDS: Final = 5.0
CALL_SECONDS: Final = 8.0
# What an older stack answers where a newer one has a route; no code is that of a gateway.
_NO_ROUTE: Final = {404: ("", "not_found"), 405: ("", "method_not_allowed")}


class NotToldError(Exception):
    """The stack is older than the page and does not know what it asks for."""


class Stack:
    """One stack; `client` reaches it, once a call: pages are asked for again by themselves."""

    def __init__(self, endpoint: str, api_key: str, *, trust_env: bool | None = None) -> None:
        self.endpoint = endpoint
        self.client = AsyncDarkroom(
            endpoint, api_key, timeout=STEP_SECONDS, retry_seconds=0, trust_env=trust_env
        )

    async def ask(self, call: Awaitable[T], *, seconds: float = CALL_SECONDS) -> T:
        """The answer to a call, in time.

        Raises `DarkroomError`, which is `Unreachable` when there is no answer in `seconds`, and
        `NotToldError` when the stack has no such route.
        """
        try:
            async with asyncio.timeout(seconds):
                return await call
        except TimeoutError:
            raise Unreachable(f"{self.endpoint} did not answer in {seconds:g} s") from None
        except DarkroomError as error:
            if error.status in _NO_ROUTE and error.code in _NO_ROUTE[error.status]:
                raise NotToldError from error
            raise


def stack_of(request: Request) -> Stack:
    """The stack of the app that serves a request."""
    stack: Stack = request.app.state.stack
    return stack
