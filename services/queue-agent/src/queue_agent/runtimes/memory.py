"""Telling a device, or a machine, that had too little memory from other failures. Pure."""

from __future__ import annotations

import re
from typing import Final

CODE: Final = "out_of_memory"

# The classes of PyTorch and Python, and what they, CUDA, ROCm, MPS, XPU and DirectML say. Each
# library names the class as it likes: RuntimeError, AcceleratorError, OutOfMemoryError.
_SIGNS: Final = re.compile(
    r"out[ _-]?of[ _-]?memory|\bMemoryError\b|memory ?allocation|ALLOC_FAILED"
    r"|not enough (?:GPU (?:video )?)?memory|can't allocate memory|allocation on device"
    r"|insufficient memory",
    re.IGNORECASE,
)


def is_out_of_memory(*said: object) -> bool:
    """Whether the class or the words of an error say that memory was short."""
    return any(isinstance(one, str) and _SIGNS.search(one) for one in said)
