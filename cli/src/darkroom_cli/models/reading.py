"""The bytes of model files, of this machine or of a server, checked as they pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import httpx

from darkroom_cli.errors import CommandError
from darkroom_cli.models.checks import Check
from darkroom_cli.models.files import Model, is_url
from darkroom_cli.models.server import (
    PAUSE_SECONDS,
    SILENT_SECONDS,
    ServedFile,
    Version,
)
from modelfiles.safetensors import MalformedError

BLOCK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file that is being read, from `start` on."""

    model: Model
    version: Version
    blocks: AsyncIterator[bytes]
    start: int = 0

    @property
    def size_bytes(self) -> int | None:
        """The size of the whole file; None if nobody tells it."""
        return self.version.size_bytes

    def check(self) -> Check:
        """A check of the whole file."""
        sha256 = self.model.sha256 or self.version.sha256
        return Check(self.model, self.size_bytes, sha256)

    async def parts(self, part_bytes: int) -> AsyncIterator[bytes]:
        """The file in parts of that size, checked as they pass; raises `MalformedError`."""
        part, check = bytearray(), self.check()
        async for block in self.blocks:
            check.take(block)
            part += block
            while len(part) >= part_bytes:
                yield bytes(part[:part_bytes])
                del part[:part_bytes]
        check.end()
        if part:
            yield bytes(part)


@asynccontextmanager
async def opened(
    wanted: Model,
    *,
    start: int = 0,
    version: Version | None = None,
    pause_seconds: float = PAUSE_SECONDS,
) -> AsyncIterator[Opened]:
    """Open a URL or a file; raises `CommandError`, here and while it is read.

    A URL is read from `start` on if it has that `version` still, or else from its beginning.
    """
    path = wanted.fetched or (None if is_url(wanted.source) else Path(wanted.source))
    try:
        if path is not None:
            with await asyncio.to_thread(path.open, "rb") as file:
                size = (await asyncio.to_thread(path.stat)).st_size
                yield Opened(model=wanted, version=Version(size_bytes=size), blocks=_read(file))
            return
        async with httpx.AsyncClient(timeout=SILENT_SECONDS) as client:
            served = ServedFile(
                model=wanted, client=client, start=start, version=version or Version(),
                pause_seconds=pause_seconds,
            )  # fmt: skip
            try:
                await served.connect()
                async with aclosing(served.blocks()) as blocks:
                    yield Opened(
                        model=wanted, version=served.version, blocks=blocks, start=served.start
                    )
            finally:
                await served.close()
    except MalformedError as error:
        raise CommandError(f"{wanted.origin}: {error}") from error
    except OSError as error:
        raise CommandError(f"{wanted.origin}: {error.strerror or error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        # Its text may have the URL or a header.
        raise CommandError(f"{wanted.origin}: {type(error).__name__}") from None


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
        yield block
