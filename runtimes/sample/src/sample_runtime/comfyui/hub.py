"""The websockets of a ComfyUI server: one for each client id."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

from fastapi import WebSocket, WebSocketDisconnect

Message = dict[str, Any]


class Hub:
    """Passes messages on without waiting. Those for an absent client are lost."""

    def __init__(self) -> None:
        self._outboxes: dict[str, asyncio.Queue[Message]] = {}
        self.queue_remaining = 0
        self.running_client: str | None = None
        self.running_node: str | None = None

    def tell(self, client: str | None, event: str, content: Message) -> None:
        """Send a message to the one websocket that has this client id."""
        if event == "executing":
            self.running_client, self.running_node = client, content["node"]
        if client in self._outboxes:
            self._outboxes[client].put_nowait({"type": event, "data": content})

    def tell_all_status(self, queue_remaining: int) -> None:
        """Send the number of prompts that wait or run to every websocket."""
        self.queue_remaining = queue_remaining
        for outbox in self._outboxes.values():
            outbox.put_nowait({"type": "status", "data": self._status()})

    async def serve(self, socket: WebSocket, client: str | None) -> None:
        """Serve a websocket until it closes; a newer one with its id takes its place."""
        await socket.accept()
        client = client or uuid4().hex
        outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outboxes[client] = outbox
        outbox.put_nowait({"type": "status", "data": {**self._status(), "sid": client}})
        if self.running_client == client and self.running_node is not None:
            outbox.put_nowait({"type": "executing", "data": {"node": self.running_node}})
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(_send(socket, outbox), name=f"send-{client}")
                await _wait_for_close(socket)
                sender.cancel()
        finally:
            if self._outboxes.get(client) is outbox:
                del self._outboxes[client]

    def _status(self) -> Message:
        return {"status": {"exec_info": {"queue_remaining": self.queue_remaining}}}


async def _send(socket: WebSocket, outbox: asyncio.Queue[Message]) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.send_json(await outbox.get())


async def _wait_for_close(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
