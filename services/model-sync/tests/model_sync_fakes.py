"""An in-memory model bucket, and model files as small as they can be."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from model_sync.domain import StoredFile
from servicekit.errors import FatalError, TransientError

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def safetensors(*, tensor_bytes: int = 8) -> bytes:
    """A valid file with one tensor."""
    tensor = {"dtype": "U8", "shape": [tensor_bytes], "data_offsets": [0, tensor_bytes]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(tensor_bytes)


@dataclass
class FakeModelBucket:
    """Objects by key; counts looks and reads, and is down for as many looks as it is told."""

    objects: dict[str, bytes] = field(default_factory=dict)
    looks: int = 0
    reads: list[str] = field(default_factory=list)
    fails: int = 0
    refused: str = ""  # the code of AWS, while it refuses
    was_refused: asyncio.Event = field(default_factory=asyncio.Event)
    listed: asyncio.Event = field(default_factory=asyncio.Event)  # a look that did not fail

    async def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    async def files(self) -> AsyncIterator[StoredFile]:
        self.looks += 1
        if self.refused:
            self.was_refused.set()
            raise FatalError(f"AWS refused s3.list_objects: {self.refused}", code=self.refused)
        if self.fails:
            self.fails -= 1
            raise TransientError("the bucket is out of reach")
        for key, body in sorted(self.objects.items()):
            tag = hashlib.sha256(body).hexdigest()
            yield StoredFile(key=key, size_bytes=len(body), tag=tag, modified_at=NEW_YEAR)
        self.listed.set()

    async def read(self, file: StoredFile, start: int, length: int) -> bytes:
        self.reads.append(file.key)
        return self.objects[file.key][start : start + length]


class FakeUploadBucket:
    """URLs that say what they are for."""

    async def upload_url(self, key: str, size_bytes: int, lasts: timedelta) -> str:
        return f"https://bucket/{key}?bytes={size_bytes}"
