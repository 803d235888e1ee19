"""Serving the console on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from darkroom_console.app import console_app
from darkroom_console.files import Files
from darkroom_console.stack import Stack
from darkroom_console.uploads import uploads
from servicekit.web import http_serving

HOST = "127.0.0.1"


@asynccontextmanager
async def console(
    endpoint: str, api_key: str, port: int, *, trust_env: bool | None = None
) -> AsyncIterator[None]:
    """Serve the pages of a stack at 127.0.0.1 until the block ends.

    `trust_env` tells whether proxies of the environment lead to the stack, which they do by
    default unless it is on this machine. Raises `FatalError` when the port is taken.
    """
    stack, files = Stack(endpoint, api_key, trust_env=trust_env), Files()
    async with AsyncExitStack() as exits:
        exits.push_async_callback(files.aclose)
        exits.push_async_callback(stack.client.aclose)
        sending = await exits.enter_async_context(uploads())
        app = console_app(stack, files, sending)
        await exits.enter_async_context(http_serving(app, HOST, port))
        yield
