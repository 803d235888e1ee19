"""A file on its way to the model bucket, piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from darkroom_client.errors import InvalidRequest

PIECE: Final = 2**20  # bytes

Source = str | os.PathLike[str] | BinaryIO
Sent = Callable[[int, int], None]
"""Is told how many bytes were sent, and of how many; from the beginning if it is sent again."""


@dataclass(frozen=True)
class Upload:
    """The rest of an open file."""

    file: BinaryIO = field(repr=False)
    begin: int
    size: int
    progress: Sent | None = None

    def pieces(self) -> Iterator[bytes]:
        """All of it, from its beginning each time."""
        self.file.seek(self.begin)
        sent = 0
        while piece := self.file.read(min(PIECE, self.size - sent)):
            yield piece
            sent += len(piece)
            if self.progress:
                self.progress(sent, self.size)


@contextmanager
def opened(source: Source, progress: Sent | None) -> Iterator[Upload]:
    """A file by its path, or one that is open; raises `InvalidRequest`."""
    if not isinstance(source, (str, os.PathLike)):
        begin = source.tell()
        yield Upload(source, begin, source.seek(0, os.SEEK_END) - begin, progress)
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(source).open("rb"))
        except OSError as error:
            raise InvalidRequest(f"{os.fspath(source)}: {error.strerror}") from error
        yield Upload(file, 0, os.fstat(file.fileno()).st_size, progress)
