"""The formats of model files that runtimes read, by the names of files."""

from __future__ import annotations

import struct
from typing import Final

from modelfiles.safetensors import MalformedError

FORMATS: Final = {
    ".safetensors": "safetensors",
    ".sft": "safetensors",
    ".ckpt": "ckpt",
    ".pt": "pt",
    ".pth": "pth",
    ".bin": "bin",
    ".gguf": "gguf",
}
BY_RUNTIME: Final = {
    "sdwebui": (".safetensors", ".ckpt", ".gguf"),  # GGUF: Forge
    "comfyui": (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf"),
    "invokeai": (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf"),
}
"""What each type of runtime reads, its own extensions counted."""
LISTED: Final = ", ".join(sorted(FORMATS))
GGUF_BYTES: Final = 24
"""Of the head of a GGUF file: its name, its version, and how many tensors and values it has."""
_GGUF_VERSIONS: Final = range(1, 100)  # another byte order makes it much larger


def check_gguf(first: bytes) -> None:
    """Return if a file that begins so is GGUF; raises `MalformedError`.

    The format is four letters, a version, and two counts; see the specification of ggml.
    """
    if not first.startswith(b"GGUF"):
        raise MalformedError("it is not a GGUF file")
    if len(first) < GGUF_BYTES:
        raise MalformedError("it is cut off within its header")
    versions = [struct.unpack(f"{order}I", first[4:8])[0] for order in "<>"]
    if not any(version in _GGUF_VERSIONS for version in versions):
        raise MalformedError("its header cannot be read")
    if not any(first[8:16]):
        raise MalformedError("it has no tensors")
