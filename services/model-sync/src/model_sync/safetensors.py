"""Checks the head of a safetensors file against its size.

The format is 8 bytes of header length, little-endian, then that much JSON which gives each
tensor its `data_offsets` in the rest; see the README of the safetensors project. Reading the
head is enough to find a file that was cut off or is something else.
"""

from __future__ import annotations

import struct
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

LENGTH_BYTES: Final = 8
HEADER_LIMIT_BYTES: Final = 100 * 2**20
"""The format's own limit."""


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="ignore")

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_HEADER = TypeAdapter(dict[str, _Tensor | dict[str, str]])


def header_bytes(first: bytes, size_bytes: int) -> int:
    """Give the length of the header from the file's first 8 bytes; raises `ValueError`."""
    if len(first) < LENGTH_BYTES:
        raise ValueError("shorter than a safetensors header")
    (length,) = struct.unpack("<Q", first[:LENGTH_BYTES])
    if length > HEADER_LIMIT_BYTES:
        raise ValueError("not a safetensors file")
    if length + LENGTH_BYTES > size_bytes:
        raise ValueError("cut off within its header")
    return int(length)


def check_header(header: bytes, size_bytes: int) -> None:
    """Return if the tensors fill the file; raises `ValueError` with what is wrong."""
    try:
        entries = _HEADER.validate_json(header)
    except ValidationError:
        raise ValueError("its header cannot be read") from None
    ends = [entry.data_offsets[1] for entry in entries.values() if isinstance(entry, _Tensor)]
    if not ends:
        raise ValueError("it has no tensors")
    expected = LENGTH_BYTES + len(header) + max(ends)
    if expected != size_bytes:
        raise ValueError(f"it has {size_bytes} bytes, its header promises {expected}")
