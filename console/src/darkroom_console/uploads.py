"""Files on their way from this machine to the model bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Final
from uuid import uuid4

from darkroom_client import DarkroomError
from darkroom_console.stack import NotToldError

KEPT: Final = 20  # that have ended

Progress = Callable[[int, int], None]
Send = Callable[[BinaryIO, Progress], Awaitable[None]]


@dataclass
class Upload:
    """One file; when it is `over`, `error` tells why it is not there."""

    name: str
    total: int
    sent: int = 0
    error: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Uploads:
    """Those of this console; they end with it."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._known: dict[str, Upload] = {}
        self._running: set[asyncio.Task[None]] = set()

    def start(self, name: str, total: int, file: BinaryIO, send: Send) -> str:
        """Begin to send a file, which is closed at the end, and give the upload's name."""
        self._forget()
        key = uuid4().hex
        self._known[key] = Upload(name, total)
        sending = self._run(self._known[key], file, send)
        task = self._group.create_task(sending, name=f"upload-{key}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return key

    def get(self, key: str) -> Upload | None:
        """One of them, if it is still known."""
        return self._known.get(key)

    def cancel(self) -> None:
        """Break off those that are under way."""
        for task in self._running:
            task.cancel()

    async def _run(self, upload: Upload, file: BinaryIO, send: Send) -> None:
        def progress(sent: int, total: int) -> None:
            upload.sent, upload.total = sent, total

        with file:
            try:
                await send(file, progress)
            except NotToldError:
                upload.error = "this stack takes no uploads; `darkroom models add` does it"
            except DarkroomError as error:
                upload.error = error.detail
        upload.over.set()

    def _forget(self) -> None:
        ended = [key for key, upload in self._known.items() if upload.over.is_set()]
        for key in ended[:-KEPT]:
            del self._known[key]


@asynccontextmanager
async def uploads() -> AsyncIterator[Uploads]:
    """Uploads that are broken off when the block ends."""
    async with asyncio.TaskGroup() as group:
        started = Uploads(group)
        try:
            yield started
        finally:
            started.cancel()
