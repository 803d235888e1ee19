"""Removing what a server has made and was sent: it is in the buckets, or of no more use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

EVERY_SECONDS: Final = 300
KEPT_SECONDS: Final = 6 * 3600  # as the chart has it
KEPT_BYTES: Final = 5 * 10**9


async def keep_swept(folders: Iterable[Path]) -> None:
    """Sweep folders now and again, until cancelled."""
    while True:
        with suppress(OSError):  # the server removes files and folders, too
            await asyncio.to_thread(sweep, folders)
        await asyncio.sleep(EVERY_SECONDS)


def sweep(
    folders: Iterable[Path], *, kept_seconds: float = KEPT_SECONDS, kept_bytes: int = KEPT_BYTES
) -> None:
    """Remove the files that are too old, and of the others the oldest that are too many."""
    oldest = time.time() - kept_seconds
    total = 0
    for changed, size, file in sorted(_files(folders), reverse=True):
        total += size
        if changed < oldest or total > kept_bytes:
            file.unlink(missing_ok=True)


def _files(folders: Iterable[Path]) -> Iterator[tuple[float, int, Path]]:
    for folder in folders:
        for file in folder.rglob("*"):
            try:
                found = file.lstat()
            except OSError:
                continue  # the server has removed it
            if not file.is_dir():
                yield found.st_mtime, found.st_size, file
