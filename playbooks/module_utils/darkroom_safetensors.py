"""Checks a safetensors file while it passes by.

The format is 8 bytes of header length, little-endian, then that much JSON which gives each
tensor its `data_offsets` in the rest; see the README of the safetensors project. The service
model-sync has the same check for files that are in the bucket.
"""

from __future__ import annotations

import json
import struct
from typing import Any

LENGTH_BYTES = 8
HEADER_LIMIT_BYTES = 100 * 2**20  # the format's own limit


class MalformedError(ValueError):
    """The file is not what its name says."""


class Head:
    """The head of a file, as far as it has passed."""

    def __init__(self) -> None:
        self._begin = bytearray()
        self.promised: int | None = None  # size of the file, once its header is known

    def take(self, block: bytes, size: int | None) -> None:
        """Look at the next block of the file; raises `MalformedError`."""
        if self.promised is not None:
            return
        self._begin += block
        if len(self._begin) < LENGTH_BYTES:
            return
        (length,) = struct.unpack("<Q", self._begin[:LENGTH_BYTES])
        if length > HEADER_LIMIT_BYTES:
            raise MalformedError("it is not a safetensors file")
        if len(self._begin) < LENGTH_BYTES + length:
            return
        header = bytes(self._begin[LENGTH_BYTES : LENGTH_BYTES + length])
        self.promised = LENGTH_BYTES + length + last_offset(header)
        self._begin = bytearray()
        if size is not None:
            self.check_end(size)

    def check_end(self, size: int) -> None:
        """Return if the file has the size that its header promises."""
        if self.promised is None:
            raise MalformedError("it is cut off within its header")
        if size != self.promised:
            raise MalformedError(f"it has {size} bytes, its header promises {self.promised}")


def last_offset(header: bytes) -> int:
    """Give where the last tensor ends; raises `MalformedError`."""
    try:
        tensors = [
            tensor for name, tensor in json.loads(header).items() if name != "__metadata__"
        ]
        ends = [end_of(tensor) for tensor in tensors]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise MalformedError("its header cannot be read") from None
    if not ends:
        raise MalformedError("it has no tensors")
    return max(ends)


def end_of(tensor: dict[str, Any]) -> int:
    """Give where a tensor ends."""
    _, end = tensor["data_offsets"]
    return int(end)
