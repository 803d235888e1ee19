"""ComfyUI's websocket: what happens to the prompts of one client, in the server's order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from contracts.keys import KeyScope
from contracts.kinds import RuntimeType
from contracts.state import TaskState
from darkroom.router.v1.router_pb2 import Runtime
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Caller, is_terminal
from ingest.http.edge import keys_of
from ingest.keys import Gate
from ingest.native.comfyui.prompts import CLIENT, Prompts
from ingest.native.comfyui.results import history_entry, messages
from servicekit.errors import AppError

LOOK: Final = timedelta(seconds=5)  # again, for prompts that came by another ingest
_REFUSED: Final = 1008  # by the rules of websockets
_AWAY: Final = 1013  # try again later
Event = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class _Client:
    runtime: Runtime
    caller: Caller
    id: str
    told: set[str] = field(default_factory=set)  # uids of what is, or was, followed
    ready: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """Serves each client until it leaves."""

    prompts: Prompts
    gate: Gate

    async def serve(self, socket: WebSocket, name: str, client_id: str) -> None:
        """Let a client in by its key, and tell it of its prompts."""
        try:
            caller = await self.gate.admit(keys_of(socket.scope["headers"]), KeyScope.READ)
            runtime = await self.prompts.tasks.runtime(name, RuntimeType.COMFYUI)
            self.prompts.tasks.watches.check_room()
        except AppError as error:
            code = _REFUSED if hasattr(error, "code") else _AWAY
            await socket.close(code, str(error)[:120])
            return
        await socket.accept()
        client = _Client(runtime, caller, client_id)
        with suppress(WebSocketDisconnect, AppError):
            await self._until_it_leaves(socket, client)

    async def _until_it_leaves(self, socket: WebSocket, client: _Client) -> None:
        async with asyncio.TaskGroup() as group:
            work = [
                group.create_task(self._look(client, group), name="socket-look"),
                group.create_task(_send(socket, client), name="socket-send"),
            ]
            try:
                while True:
                    await socket.receive()
            except (WebSocketDisconnect, RuntimeError):  # the latter after a disconnect
                for each in work:
                    each.cancel()
                raise asyncio.CancelledError from None

    async def _look(self, client: _Client, group: asyncio.TaskGroup) -> None:
        await client.ready.put(await self._status(client))
        while True:
            for task in await self._open(client):
                if task.uid not in client.told:
                    client.told.add(task.uid)
                    group.create_task(self._follow(client, task.uid), name=f"socket-{task.uid}")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK.total_seconds()), self.prompts.added:
                    await self.prompts.added.wait()

    async def _open(self, client: _Client) -> list[TaskRecord]:
        tasks = self.prompts.tasks
        found = [
            task
            for state in (TaskState.RUNNING, TaskState.QUEUED)
            for task in await tasks.of_key(client.runtime, client.caller, state)
        ]
        return [task for task in found if _client_of(task) == client.id]

    async def _follow(self, client: _Client, uid: str) -> None:
        tasks = self.prompts.tasks
        began = False
        async with aclosing(tasks.watches.follow(uid, 0)) as changes:
            async for change in changes:
                task = change.task
                if task.HasField("started_at") and not began:
                    began = True
                    for event in _begun(task):
                        await client.ready.put(event)
                if is_terminal(task):
                    async for event in self._ended(client, task):
                        await client.ready.put(event)
                elif task.HasField("progress"):
                    await client.ready.put(_progress(task))

    async def _ended(self, client: _Client, task: TaskRecord) -> AsyncIterator[Event]:
        tasks = self.prompts.tasks
        document = await tasks.out(task, client.caller) if task.output_url else {}
        if task.state == TaskState.COMPLETED:
            for node, output in history_entry(task, document)["outputs"].items():
                shown = {"node": node, "display_node": node, "output": output}
                yield "executed", {**shown, "prompt_id": task.id}
        yield list(messages(task))[-1]
        yield "executing", {"node": None, "prompt_id": task.id}
        yield await self._status(client)

    async def _status(self, client: _Client) -> Event:
        left = await self.prompts.remaining(client.runtime, client.caller)
        told = {"exec_info": {"queue_remaining": left}}
        return "status", {"status": told, "sid": client.id}


async def _send(socket: WebSocket, client: _Client) -> None:
    while True:
        kind, data = await client.ready.get()
        await socket.send_json({"type": kind, "data": data})


def _begun(task: TaskRecord) -> tuple[Event, ...]:
    known = {"prompt_id": task.id, "timestamp": task.started_at.ToMilliseconds()}
    return ("execution_start", known), ("execution_cached", {"nodes": [], **known})


def _progress(task: TaskRecord) -> Event:
    step, total = task.progress.step, task.progress.total
    return "progress", {"value": step, "max": total, "prompt_id": task.id, "node": None}


def _client_of(task: TaskRecord) -> str:
    context = json.loads(task.context_json or "{}")
    return str(context.get(CLIENT, "")) if isinstance(context, dict) else ""


def add_socket(app: FastAPI, socket: Socket, paths: tuple[str, ...]) -> None:
    """Add the route below each of `paths`, which may name a runtime."""

    async def serve(websocket: WebSocket, runtime: str = "") -> None:
        client = websocket.query_params.get("clientId", "")
        await socket.serve(websocket, runtime, client)

    for path in paths:
        app.add_api_websocket_route(f"{path}/ws", serve)
