"""What keeps other pages of the same browser away from the console, which has the key."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS: Final = ("127.0.0.1", "localhost")
_SAFE: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    # Styles of Pico have pictures as data: URLs. Nothing inline is run or drawn.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class SameOrigin:
    """Refuses what changes something and is not from a page of the console itself.

    Every answer forbids scripts, styles and frames of others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        app: ASGIApp = self._app
        if scope["method"] not in _SAFE and not _from_here(Headers(scope=scope)):
            app = PlainTextResponse("only pages of this console may do that", status_code=403)
        await app(scope, receive, guarded)


def _from_here(headers: Headers) -> bool:
    """Browsers name the page that sends a POST, and no page can change what they name."""
    return headers.get("origin") == f"http://{headers.get('host')}"
