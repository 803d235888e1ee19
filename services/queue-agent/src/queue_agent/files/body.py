"""Bytes of any size: a few are kept in memory, more in a file that has no name."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tempfile
import weakref
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias, cast

from servicekit.errors import TransientError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer  # pants: no-infer-dep  # only type checkers know it

MEMORY_BYTES: Final = 2**19
"""What one body may take in memory."""
PART_BYTES: Final = 2**18
"""How much of a larger one is in memory while it is read or written."""
ROOM_BYTES: Final = 2**26


class NoRoomError(TransientError):
    """A file could not be written: an interruption of the task, for other agents have room."""


class FileBody:
    """A body in a file that nobody else sees; it goes when nobody refers to it any more.

    It may be read by several at once, and by threads, when it is not written any more.
    """

    def __init__(self) -> None:
        try:
            # Its end is below, since a body may be dropped wherever a delivery is interrupted.
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _no_room(error) from error
        self._size = 0
        self._end = weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return self._size

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Add to the end; raises `NoRoomError`. This blocks, so it is work for a thread."""
        left = memoryview(part)
        try:
            while left:
                written = self._file.write(left) or 0
                left = left[written:]
                self._size += written
        except OSError as error:
            raise _no_room(error) from error

    def reserve(self, size: int) -> None:
        """Have room for what will be written; raises `NoRoomError`."""
        try:
            if sys.platform == "linux":
                os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            raise _no_room(error) from error

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """The bytes between two places; this blocks."""
        end = self._size if end is None else end
        with self.open() as reader:
            reader.seek(start)
            return reader.read(end - start)

    def open(self) -> BinaryIO:
        """A file of the caller's own to read it from the start."""
        return cast("BinaryIO", io.BufferedReader(_Reader(self, self._file), PART_BYTES))

    def close(self) -> None:
        """Free the space on the disk. Safe to repeat."""
        self._end()


Body: TypeAlias = bytes | FileBody
"""Bytes in memory if there are few, else in a file; `len` tells their number."""


class _Reader(io.RawIOBase):
    """Reads from a place of its own in a file that others read, too."""

    def __init__(self, body: FileBody, file: io.FileIO) -> None:
        self._body = body  # so that its file stays
        self._file = file
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()  # its size is asked for

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: len(self._body)}
        self._place = max(0, bases[whence] + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        read = os.preadv(self._file.fileno(), [buffer], self._place)
        self._place += read
        return read


async def save(parts: AsyncIterable[bytes], take: Callable[[int], None]) -> Body:
    """The parts as one body, calling `take` with the size of each before it is kept.

    Raises what `take` raises, and `NoRoomError`.
    """
    body: FileBody | None = None
    waiting = bytearray()
    async for part in parts:
        take(len(part))
        waiting += part
        if len(waiting) > (PART_BYTES if body else MEMORY_BYTES):
            if body is None:
                body = await asyncio.to_thread(FileBody)
            await asyncio.to_thread(body.write, bytes(waiting))
            waiting.clear()
    if body is None:
        return bytes(waiting)
    await asyncio.to_thread(body.write, waiting)
    return body


@contextmanager
def as_payload(body: Body) -> Iterator[bytes | BinaryIO]:
    """What a client can send: a file if there is much, so that it goes in parts."""
    if isinstance(body, bytes) and len(body) <= MEMORY_BYTES:
        yield body
    else:
        with open_body(body) as reader:
            yield reader


def open_body(body: Body) -> BinaryIO:
    """A file to read the body from its start."""
    return body.open() if isinstance(body, FileBody) else io.BytesIO(body)


def check_room() -> None:
    """Return if there is room for a large body; raises `NoRoomError`. This blocks."""
    body = FileBody()
    body.reserve(ROOM_BYTES)
    body.close()


def _no_room(error: OSError) -> NoRoomError:
    return NoRoomError(f"the agent cannot keep a file: {error.strerror}", errno=error.errno)
