"""What HTTP clients expect of every path, whatever lies behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
_HEADERS: Final = (
    "authorization",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "prefer",
    "traceparent",
    "x-api-key",
)
_SHOWN: Final = ("allow", "preference-applied", "retry-after")


class Manners:
    """Takes a slash at the end of any path for none, and HEAD for a GET without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
            if scope["method"] == "HEAD":
                scope["method"] = "GET"
                receive, send = _headers_only(send)
        await self._app(scope, receive, send)


def for_browsers(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The app for pages of these origins as well, which have keys of their users."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=_HEADERS,
        expose_headers=_SHOWN,
    )


def _headers_only(send: Send) -> tuple[Receive, Send]:
    """A client that has no body and leaves once it has the headers, so that streams end."""
    served = asyncio.Event()
    sent = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in sent:
            return message
        await served.wait()
        return {"type": "http.disconnect"}

    async def start(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            served.set()

    return receive, start
