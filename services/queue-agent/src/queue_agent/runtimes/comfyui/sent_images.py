"""Images that nodes such as SaveImageWebsocket send to who listens, and keep nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, Final

from queue_agent.domain import File, TaskFailedError
from queue_agent.files.body import save
from queue_agent.runtimes.shape import mapping, text

_IMAGE: Final = b"\0\0\0\1"  # the event of a frame; four bytes for its format follow
_HEAD_BYTES: Final = 8


def senders(graph: Mapping[str, Any]) -> dict[str, str]:
    """The classes of the nodes that send images, by node."""
    kinds = {name: text(mapping(node).get("class_type")) for name, node in graph.items()}
    return {name: kind for name, kind in kinds.items() if "websocket" in kind.lower()}


class SentImages:
    """The images that come while a prompt runs, of at most `limit` bytes together."""

    def __init__(self, graph: Mapping[str, Any], limit: int) -> None:
        self.files: dict[str, list[File]] = {}  # by node
        self._senders = senders(graph)
        self._limit = limit
        self._size = 0
        self._at = ""
        self._connections = 0
        self._connected = asyncio.Event()
        self._ended = asyncio.Event()

    async def ready(self, within: timedelta) -> None:
        """Return when they would be heard: what is sent before that is lost."""
        if self._senders:
            await _happened(self._connected, within, "it takes no websocket")

    async def complete(self, within: timedelta) -> None:
        """Return when all are here; raises `TaskFailedError` if some are lost."""
        if not self._senders:
            return
        await _happened(self._ended, within, "the connection was lost")
        if self._connections > 1:
            raise _lost("the connection was lost")
        if self._size > self._limit:
            raise _lost(f"they have more than {self._limit} bytes")

    def connect(self) -> None:
        """Record a connection, by which they come."""
        self._connections += 1
        self._connected.set()

    def hear(self, content: Mapping[str, Any], *, is_end: bool) -> None:
        """Learn from an event whose images come next, or that no more come."""
        self._at = text(content.get("node", self._at))
        if is_end:
            self._ended.set()

    async def take(self, frame: bytes) -> None:
        """Keep an image, but not a preview that another node sends while it works."""
        if self._at not in self._senders or not frame.startswith(_IMAGE):
            return
        self._size += len(frame)
        if self._size <= self._limit:
            body = await save(_parts(frame[_HEAD_BYTES:]), lambda _: None)
            files = self.files.setdefault(self._at, [])
            name = f"{self._at}-{len(files) + 1}.png"
            files.append(File(body=body, name=name, ref=(name, "", "websocket")))

    def shown_in(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of a graph, with its images at the nodes that have sent them."""
        told = {
            node: {**mapping(outputs.get(node)), "sent_images": [_shown(one) for one in files]}
            for node, files in self.files.items()
        }
        return {**outputs, **told}


def _shown(file: File) -> dict[str, str]:
    return dict(zip(("filename", "subfolder", "type"), file.ref, strict=True))


async def _parts(image: bytes) -> AsyncIterator[bytes]:
    yield image


async def _happened(event: asyncio.Event, within: timedelta, otherwise: str) -> None:
    try:
        async with asyncio.timeout(within.total_seconds()):
            await event.wait()
    except TimeoutError:
        raise _lost(otherwise) from None


def _lost(reason: str) -> TaskFailedError:
    return TaskFailedError(
        f"not all images came that the runtime sends: {reason}",
        code="runtime_error",
        retryable=True,
    )
