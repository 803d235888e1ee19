"""Files in base64 as they come, so that none is in memory as a whole."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator


async def in_base64(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The base64 of all parts together."""
    rest = b""
    async for part in parts:
        rest += part
        whole = len(rest) // 3 * 3
        yield b64encode(rest[:whole])
        rest = rest[whole:]
    yield b64encode(rest)
