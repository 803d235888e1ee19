"""What is wrong with a safetensors file, as far as its head tells.

The format is 8 bytes of header length, little-endian, then that much JSON which gives each
tensor its `data_offsets` in the rest; see the README of the safetensors project. Reading the
head is enough to find a file that was cut off or is something else. Filters of the playbooks
import this package in Ansible's Python, so it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

LENGTH_BYTES: Final = 8
HEADER_LIMIT_BYTES: Final = 100 * 2**20
"""The format's own limit."""


class MalformedError(ValueError):
    """The file is not what its name says."""


def header_bytes(first: bytes, size_bytes: int | None) -> int:
    """The length of the header, from the file's first 8 bytes; raises `MalformedError`.

    A size that is not known is not compared.
    """
    if len(first) < LENGTH_BYTES:
        raise MalformedError("shorter than a safetensors header")
    (length,) = struct.unpack("<Q", first[:LENGTH_BYTES])
    if length > HEADER_LIMIT_BYTES:
        raise MalformedError("it is not a safetensors file")
    if size_bytes is not None and length + LENGTH_BYTES > size_bytes:
        raise MalformedError("it is cut off within its header")
    return int(length)


def promised_bytes(header: bytes) -> int:
    """The size of a file whose tensors fill it; raises `MalformedError`."""
    try:
        entries = json.loads(header.decode())
        ends = [_end(tensor) for name, tensor in entries.items() if name != "__metadata__"]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise MalformedError("its header cannot be read") from None
    if not ends:
        raise MalformedError("it has no tensors")
    return LENGTH_BYTES + len(header) + max(ends)


def check_size(size_bytes: int, promised: int) -> None:
    """Return if a file has the size that its header promises; raises `MalformedError`."""
    if size_bytes != promised:
        raise MalformedError(f"it has {size_bytes} bytes, its header promises {promised}")


def _end(tensor: dict[str, Any]) -> int:
    _, end = tensor["data_offsets"]
    if not isinstance(end, int) or not {"dtype", "shape"} <= tensor.keys():
        raise TypeError
    return end


class Head:
    """The head of a file that passes by in blocks."""

    def __init__(self) -> None:
        self._begin = bytearray()
        self._promised: int | None = None  # size of the file, once its header is known

    def take(self, block: bytes, size_bytes: int | None) -> None:
        """Look at the next block; raises `MalformedError`. A size that is not known is None."""
        if self._promised is not None:
            return
        self._begin += block
        if len(self._begin) < LENGTH_BYTES:
            return
        end = LENGTH_BYTES + header_bytes(bytes(self._begin[:LENGTH_BYTES]), size_bytes)
        if len(self._begin) < end:
            return
        self._promised = promised_bytes(bytes(self._begin[LENGTH_BYTES:end]))
        self._begin = bytearray()
        if size_bytes is not None:
            check_size(size_bytes, self._promised)

    def check_end(self, size_bytes: int) -> None:
        """Return if the whole file had the size that its header promises."""
        if self._promised is None:
            raise MalformedError("it is cut off within its header")
        check_size(size_bytes, self._promised)
