"""What is checked of a model file while its bytes pass."""

from __future__ import annotations

import hashlib

from darkroom_cli.models.files import Model
from modelfiles.formats import GGUF_BYTES, check_gguf
from modelfiles.safetensors import Head, MalformedError


class Check:
    """Looks at the blocks of one file: its size, its head and its sum."""

    def __init__(self, model: Model, size_bytes: int | None, sha256: str | None) -> None:
        self._form, self._size, self._wanted = model.form, size_bytes, sha256
        self._head = Head() if model.form == "safetensors" else None
        self._begin = b""
        self._sum = hashlib.sha256()
        self.taken = 0

    def take(self, block: bytes) -> None:
        """Look at the next block; raises `MalformedError` as soon as it is not the file."""
        self._begin += block[: GGUF_BYTES - len(self._begin)]
        self.taken += len(block)
        if self._size is not None and self.taken > self._size:
            raise MalformedError(f"{self._size} bytes were promised and more came")
        if self._head:
            self._head.take(block, self._size)
        elif self._form == "gguf" and len(self._begin) == GGUF_BYTES:
            check_gguf(self._begin)
        self._sum.update(block)

    def end(self) -> None:
        """Return if that was the whole file; raises `MalformedError`."""
        if self._size is not None and self.taken != self._size:
            raise MalformedError(f"{self._size} bytes were promised and {self.taken} came")
        if not self.taken:
            raise MalformedError("it is empty")
        if self._head:
            self._head.check_end(self.taken)
        elif self._form == "gguf":
            check_gguf(self._begin)
        if self._wanted not in {None, self._sum.hexdigest()}:
            raise MalformedError(f"its sha256 is {self._sum.hexdigest()}, not {self._wanted}")
