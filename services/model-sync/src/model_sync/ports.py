"""What model-sync needs from the outside world, in its own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from model_sync.domain import StoredFile


class ModelBucket(Protocol):
    """The bucket that models are in. Every method raises `TransientError`."""

    def files(self) -> AsyncIterator[StoredFile]:
        """Every object."""
        ...

    async def read(self, file: StoredFile, start: int, length: int) -> bytes:
        """`length` bytes from `start`, fewer at the end of the object."""
        ...


class UploadBucket(Protocol):
    """The same bucket, for those who bring a model."""

    async def upload_url(self, key: str, size_bytes: int, lasts: timedelta) -> str:
        """A URL that takes one object of that size by PUT; raises `TransientError`."""
        ...


class ModelDownloads(Protocol):
    """The same bucket, for whole objects."""

    def fetch(self, key: str, path: Path, arrived: Callable[[int], None]) -> None:
        """Write an object to `path`, all of it or nothing; blocks.

        `arrived` is told how many bytes came, each time. Raises `FatalError` if the object
        can't be had, `TransientError` if perhaps later.
        """
        ...
