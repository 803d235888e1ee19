"""ComfyUI's history of prompts, and their files."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from contracts.kinds import RuntimeType
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Caller, is_terminal
from ingest.http.edge import caller_of
from ingest.look_up import find_task
from ingest.native.comfyui.results import file_index, history_entry
from ingest.native.tasks import Tasks
from servicekit.errors import RejectedError

MOST: Final = 64  # entries of one answer, each of which is read from S3
_SHOWN: Final = ("image/png", "image/jpeg", "image/webp", "image/gif", "video/", "audio/")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What became of the prompts of each key."""

    tasks: Tasks

    async def all(self, request: Request, name: str, most: int) -> dict[str, Any]:
        """The newest ended prompts, oldest first."""
        caller = caller_of(request.scope)
        runtime = await self.tasks.runtime(name, RuntimeType.COMFYUI)
        ended = [t for t in await self.tasks.of_key(runtime, caller) if is_terminal(t)]
        chosen = reversed(ended[: min(max(most, 0), MOST)])
        return {task.id: await self._entry(task, caller) for task in chosen}

    async def one(self, request: Request, prompt_id: str) -> dict[str, Any]:
        """The prompt when it has ended; nothing before, or if there is none."""
        caller = caller_of(request.scope)
        try:
            task = await find_task(self.tasks.router, prompt_id, caller)
        except RejectedError as error:
            if error.code != "task_not_found":
                raise
            return {}
        return {task.id: await self._entry(task, caller)} if is_terminal(task) else {}

    async def file(self, request: Request, filename: str, folder: str) -> Response:
        """A file of a prompt, by the name and folder that its history tells."""
        caller = caller_of(request.scope)
        try:
            task = await find_task(self.tasks.router, folder, caller)
        except RejectedError:
            return Response(status_code=404)
        index = file_index(task, filename)
        if index is None:
            return Response(status_code=404)
        kind = mimetypes.guess_type(filename)[0] or ""
        shown = kind.startswith(_SHOWN)
        return StreamingResponse(
            self.tasks.image(task, index, caller),
            media_type=kind if shown else "application/octet-stream",
            headers={
                "X-Content-Type-Options": "nosniff",
                "Content-Disposition": "inline" if shown else "attachment",
                "Cache-Control": "private, max-age=3600",
            },
        )

    async def _entry(self, task: TaskRecord, caller: Caller) -> dict[str, Any]:
        document = await self.tasks.out(task, caller) if task.output_url else {}
        return history_entry(task, document)


def add_history(app: FastAPI, history: History, paths: tuple[str, ...]) -> None:
    """Add the routes below each of `paths`, which may name a runtime."""

    async def all_of(
        request: Request, runtime: str = "", max_items: int = MOST
    ) -> dict[str, Any]:
        return await history.all(request, runtime, max_items)

    async def one(request: Request, prompt_id: str) -> dict[str, Any]:
        return await history.one(request, prompt_id)

    async def view(request: Request, filename: str = "", subfolder: str = "") -> Response:
        return await history.file(request, filename, subfolder)

    for path in paths:
        for name, route in (
            ("history", all_of),
            ("history/{prompt_id}", one),
            ("view", view),
        ):
            app.add_api_route(f"{path}/{name}", route, methods=["GET"], include_in_schema=False)
