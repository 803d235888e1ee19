"""SD WebUI's calls that make images: each waits for a task and answers as the server does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from contracts.kinds import RuntimeType, TaskType
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.bodies import Bodies
from ingest.domain import Caller
from ingest.http.body import read_json
from ingest.http.edge import caller_of
from ingest.native.base64_stream import in_base64
from ingest.native.hang_up import while_there
from ingest.native.tasks import Tasks
from ingest.payload import parse_object

_TASKTYPES: Final = {
    "txt2img": TaskType.TEXT_TO_IMAGE,
    "img2img": TaskType.IMAGE_TO_IMAGE,
    "extra-single-image": TaskType.EXTRA_SINGLE_IMAGE,
    "extra-batch-images": TaskType.EXTRA_BATCH_IMAGES,
}
_EXTRAS: Final = frozenset({TaskType.EXTRA_SINGLE_IMAGE, TaskType.EXTRA_BATCH_IMAGES})
# What the client wants to have sent: the agent sees to it that there are files.
_OF_THE_ANSWER: Final = ("send_images", "save_images")
_OURS: Final = frozenset({"image_seed", "id_task", "error_msg"})  # in an `.out` document


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Makes images for clients that wait."""

    tasks: Tasks
    bodies: Bodies

    async def make(self, request: Request, resource: str, name: str) -> Response:
        """The answer of SD WebUI to one of the calls, by the runtime of that name."""
        caller = caller_of(request.scope)
        tasktype = _TASKTYPES[resource]
        runtime = await self.tasks.runtime(name, RuntimeType.SDWEBUI)
        with self.bodies.room() as take:
            body = parse_object(await read_json(request, self.bodies.patience, take))
            sends = body.get("send_images", True)
            content = {key: body[key] for key in body.keys() - {*_OF_THE_ANSWER}}
            done = self.tasks.done(runtime, tasktype, content, caller)
            task = await while_there(request, done)
        document = await self.tasks.out(task, caller)
        count = len(task.image_url) if sends else 0
        answer = self._answer(task, tasktype, document, count, caller)
        return StreamingResponse(answer, media_type="application/json")

    async def _answer(
        self,
        task: TaskRecord,
        tasktype: TaskType,
        document: Mapping[str, Any],
        count: int,
        caller: Caller,
    ) -> AsyncIterator[bytes]:
        told = _told(tasktype, document)
        yield to_json(told)[:-1]
        if tasktype is TaskType.EXTRA_SINGLE_IMAGE:
            yield b',"image":'
            async for part in self._image(task, 0, caller):
                yield part
        else:
            yield b',"images":['
            for index in range(count):
                yield b"," if index else b""
                async for part in self._image(task, index, caller):
                    yield part
            yield b"]"
        yield b"}"

    async def _image(
        self, task: TaskRecord, index: int, caller: Caller
    ) -> AsyncIterator[bytes]:
        yield b'"'
        async for part in in_base64(self.tasks.image(task, index, caller)):
            yield part
        yield b'"'


def _told(tasktype: TaskType, document: Mapping[str, Any]) -> dict[str, Any]:
    """All of the answer but its images."""
    parameters = document.get("parameters") or {}
    if tasktype in _EXTRAS:
        return {"html_info": parameters.get("html_info", "")}
    kept = {key: value for key, value in parameters.items() if key not in _OURS}
    return {"parameters": kept, "info": document.get("info", "")}


def add_images(app: FastAPI, images: Images, paths: tuple[str, ...]) -> None:
    """Add the routes below each of `paths`, which may name a runtime."""

    def add(path: str, resource: str) -> None:
        async def make(request: Request, runtime: str = "") -> Response:
            return await images.make(request, resource, runtime)

        app.add_api_route(f"{path}/{resource}", make, methods=["POST"], include_in_schema=False)

    for path in paths:
        for resource in _TASKTYPES:
            add(path, resource)
