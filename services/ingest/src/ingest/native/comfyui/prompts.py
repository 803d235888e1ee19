"""ComfyUI's prompts: handing them in, what is queued, and taking them back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.kinds import RuntimeType, TaskType
from contracts.state import TaskState
from darkroom.router.v1.router_pb2 import Runtime
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.bodies import Bodies
from ingest.domain import Caller
from ingest.http.body import read_json
from ingest.http.edge import caller_of
from ingest.native.comfyui.check import check, no_prompt
from ingest.native.comfyui.results import number_of
from ingest.native.listings import Listings
from ingest.native.tasks import Tasks
from ingest.payload import parse_object, required

CLIENT = "comfyui_client"
"""The field of a task's context that has the client whose websocket hears of it."""


class _PromptRequest(BaseModel):
    prompt: dict[str, Any] | None = None
    prompt_id: uuid.UUID | None = None
    client_id: str = Field(default="", max_length=128)
    extra_data: dict[str, Any] | None = None


class _QueueRequest(BaseModel):
    clear: bool = False
    delete: list[str] = Field(default_factory=list, max_length=1000)


class _InterruptRequest(BaseModel):
    prompt_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prompts of each key."""

    tasks: Tasks
    listings: Listings
    bodies: Bodies
    added: asyncio.Condition = field(default_factory=asyncio.Condition)
    """Notified of each prompt that came by this process."""

    async def add(self, request: Request, name: str) -> Response:
        """Hand one in; one that comes again with its id is the same."""
        caller = caller_of(request.scope)
        runtime = await self.tasks.runtime(name, RuntimeType.COMFYUI)
        with self.bodies.room() as take:
            asked = required(_PromptRequest, await self._body(request, take))
            if asked.prompt is None:
                return JSONResponse(no_prompt(), status_code=400)
            seen = await self.listings.of(runtime.name)
            refused, node_errors = check(asked.prompt, seen.get("object_info") or {})
            if refused:
                return JSONResponse(refused, status_code=400)
            id = str(asked.prompt_id or uuid.uuid4())
            content = {"prompt": asked.prompt}
            if asked.extra_data:
                content["extra_data"] = asked.extra_data
            context = {CLIENT: asked.client_id} if asked.client_id else {}
            uid = await self.tasks.hand_in(
                runtime, TaskType.PIPELINE, content, caller, id=id, context=context
            )
        async with self.added:
            self.added.notify_all()
        task = await self.tasks.router.task(uid, caller)
        answer = {"prompt_id": id, "number": number_of(task), "node_errors": node_errors}
        return JSONResponse(answer)

    async def queue(self, request: Request, name: str) -> dict[str, Any]:
        """What runs and what waits, oldest first; the graphs themselves are not told."""
        return {
            f"queue_{which}": [
                [number_of(task), task.id, {}, {}, []]
                for task in reversed(await self._in_state(request, name, state))
            ]
            for which, state in (
                ("running", TaskState.RUNNING),
                ("pending", TaskState.QUEUED),
            )
        }

    async def change_queue(self, request: Request, name: str) -> None:
        """Take queued prompts back: all, or some."""
        with self.bodies.room() as take:
            asked = required(_QueueRequest, await self._body(request, take))
        for task in await self._in_state(request, name, TaskState.QUEUED):
            if asked.clear or task.id in asked.delete:
                await self.tasks.cancel(task, caller_of(request.scope))

    async def interrupt(self, request: Request, name: str) -> None:
        """Stop a running prompt, or all that run."""
        with self.bodies.room() as take:
            asked = required(_InterruptRequest, await self._body(request, take))
        for task in await self._in_state(request, name, TaskState.RUNNING):
            if asked.prompt_id in {"", task.id}:
                await self.tasks.cancel(task, caller_of(request.scope))

    async def remaining(self, runtime: Runtime, caller: Caller) -> int:
        """How many prompts have not ended."""
        open_states = (TaskState.QUEUED, TaskState.RUNNING)
        found = [await self.tasks.of_key(runtime, caller, state) for state in open_states]
        return sum(map(len, found))

    async def _in_state(
        self, request: Request, name: str, state: TaskState
    ) -> list[TaskRecord]:
        runtime = await self.tasks.runtime(name, RuntimeType.COMFYUI)
        return await self.tasks.of_key(runtime, caller_of(request.scope), state)

    async def _body(self, request: Request, take: Any) -> Mapping[str, Any]:
        text = await read_json(request, self.bodies.patience, take, of_any_type=True)
        return parse_object(text) if text else {}


def add_prompts(app: FastAPI, prompts: Prompts, paths: tuple[str, ...]) -> None:
    """Add the routes below each of `paths`, which may name a runtime."""

    async def add(request: Request, runtime: str = "") -> Response:
        return await prompts.add(request, runtime)

    async def told(request: Request, runtime: str = "") -> dict[str, Any]:
        found = await prompts.tasks.runtime(runtime, RuntimeType.COMFYUI)
        left = await prompts.remaining(found, caller_of(request.scope))
        return {"exec_info": {"queue_remaining": left}}

    async def queue(request: Request, runtime: str = "") -> dict[str, Any]:
        return await prompts.queue(request, runtime)

    async def change(request: Request, runtime: str = "") -> Response:
        await prompts.change_queue(request, runtime)
        return Response(status_code=200)

    async def interrupt(request: Request, runtime: str = "") -> Response:
        await prompts.interrupt(request, runtime)
        return Response(status_code=200)

    for path in paths:
        for name, method, route in (
            ("prompt", "POST", add),
            ("prompt", "GET", told),
            ("queue", "GET", queue),
            ("queue", "POST", change),
            ("interrupt", "POST", interrupt),
        ):
            app.add_api_route(
                f"{path}/{name}", route, methods=[method], include_in_schema=False
            )
