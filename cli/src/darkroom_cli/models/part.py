"""A file that is being fetched: `NAME.part`, and beside it what it is a part of."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from darkroom_cli.errors import CommandError
from darkroom_cli.models.files import Model
from darkroom_cli.models.server import Version

BLOCK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one file, which only this process may write; errors are `OSError`."""

    target: Path
    file: FileIO

    @property
    def path(self) -> Path:
        """Where the part is."""
        return _part_of(self.target)

    @property
    def size_bytes(self) -> int:
        """How much of the file there is."""
        return os.fstat(self.file.fileno()).st_size

    @property
    def _about(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def begun(self, model: Model) -> tuple[int, Version]:
        """How much of this model there is, of which version; 0 if that is of no use."""
        try:
            about = json.loads(self._about.read_bytes())
            version = Version(**about["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, Version()
        if about.get("origin") != model.origin or version.validator is None:
            return 0, Version()
        size = self.size_bytes
        # The last byte is asked for again: a server refuses a range of nothing.
        known = size if version.size_bytes is None else min(size, version.size_bytes - 1)
        return max(known, 0), version

    def begin(self, model: Model, version: Version, start: int) -> None:
        """Keep its first `start` bytes, which are of that version."""
        self.file.truncate(start)
        self._about.write_text(json.dumps({"origin": model.origin, "version": asdict(version)}))

    async def kept(self) -> AsyncIterator[bytes]:
        """What there is of it already."""
        self.file.seek(0)
        while block := await asyncio.to_thread(self.file.read, BLOCK_BYTES):
            yield block

    async def add(self, block: bytes) -> None:
        """Write what comes next."""
        if await asyncio.to_thread(self.file.write, block) != len(block):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def finish(self) -> None:
        """Give it its name, now that it is whole."""
        os.fsync(self.file.fileno())
        self.path.replace(self.target)
        self._about.unlink(missing_ok=True)

    def clear(self) -> None:
        """Begin anew."""
        self.file.truncate(0)
        self._about.unlink(missing_ok=True)

    def leave(self) -> None:
        """Leave nothing behind if there is nothing to go on with."""
        if not self.size_bytes:
            self.path.unlink(missing_ok=True)
            self._about.unlink(missing_ok=True)


@contextmanager
def held(target: Path) -> Iterator[Part]:
    """The part of a file, locked for the length of the block; raises `CommandError`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _part_of(target).open("ab+", buffering=0)
    except OSError as error:
        raise CommandError(f"{target}: {error.strerror}") from error
    with file:
        if not _locked(file, _part_of(target)):
            raise CommandError(f"{target} is being fetched already; wait for that to end")
        part = Part(target, file)
        try:
            yield part
        except OSError as error:
            raise CommandError(f"{target}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                part.leave()


def _part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _locked(file: FileIO, path: Path) -> bool:
    """Whether the lock was free, and the file was not finished or cleared meanwhile."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except OSError:
        return False
