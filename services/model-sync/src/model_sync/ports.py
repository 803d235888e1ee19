"""What model-sync needs from the outside world, in its own words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from model_sync.domain import StoredFile


class ModelBucket(Protocol):
    """The bucket that models are in. Every method raises `TransientError`."""

    def files(self) -> AsyncIterator[StoredFile]:
        """Give every object."""
        ...

    async def read(self, file: StoredFile, start: int, length: int) -> bytes:
        """Give `length` bytes from `start`, fewer at the end of the object."""
        ...
