"""OpenAI's calls that make images."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
from ingest.native.openai.multipart import read_form
from ingest.native.openai.requests import ImagesRequest
from ingest.native.tasks import Tasks
from ingest.payload import invalid, parse_object, required, wrong

LINK_SECONDS: Final = 3600  # as long as OpenAI's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Makes images for clients of OpenAI's API."""

    tasks: Tasks
    bodies: Bodies

    async def generate(self, request: Request) -> Response:
        """The answer to `images/generations`."""
        with self.bodies.room() as take:
            asked = required(
                ImagesRequest,
                parse_object(await read_json(request, self.bodies.patience, take)),
            )
            task = await self._done(request, asked, TaskType.TEXT_TO_IMAGE, asked.for_sdwebui())
        return await self._answer(request, asked, task, "image_generation")

    async def edit(self, request: Request) -> Response:
        """The answer to `images/edits`: the first image is the one that is changed."""
        with self.bodies.room() as take:
            fields, files = await read_form(request, self.bodies.patience, take)
            asked = required(ImagesRequest, fields)
            if len(files.get("image", ())) != 1:
                raise invalid([wrong("image", "must be one file")])
            body = {**asked.for_sdwebui(), "init_images": files["image"]}
            if "mask" in files:
                body["mask"] = files["mask"][0]
            task = await self._done(request, asked, TaskType.IMAGE_TO_IMAGE, body)
        return await self._answer(request, asked, task, "image_edit")

    async def _done(
        self, request: Request, asked: ImagesRequest, tasktype: TaskType, body: dict[str, Any]
    ) -> TaskRecord:
        runtime = await self.tasks.runtime(asked.runtime, RuntimeType.SDWEBUI)
        done = self.tasks.done(runtime, tasktype, body, caller_of(request.scope))
        return await while_there(request, done)

    async def _answer(
        self, request: Request, asked: ImagesRequest, task: TaskRecord, event: str
    ) -> Response:
        caller = caller_of(request.scope)
        if asked.stream:
            events = self._events(asked, task, caller, event)
            return StreamingResponse(events, media_type="text/event-stream")
        if asked.response_format == "url":
            links = await self.tasks.router.links(task.uid, LINK_SECONDS, caller)
            data = [{"url": link} for link in links[: len(task.image_url)]]
            return Response(
                to_json({"created": task.finished_at.seconds, "data": data}),
                media_type="application/json",
            )
        return StreamingResponse(self._in_base64(task, caller), media_type="application/json")

    async def _in_base64(self, task: TaskRecord, caller: Caller) -> AsyncIterator[bytes]:
        yield b'{"created":%d,"output_format":"png","data":[' % task.finished_at.seconds
        for index in range(len(task.image_url)):
            yield b',{"b64_json":"' if index else b'{"b64_json":"'
            async for part in in_base64(self.tasks.image(task, index, caller)):
                yield part
            yield b'"}'
        yield b"]}"

    async def _events(
        self, asked: ImagesRequest, task: TaskRecord, caller: Caller, event: str
    ) -> AsyncIterator[bytes]:
        name = f"{event}.completed"
        told = {
            "type": name,
            "created_at": task.finished_at.seconds,
            "size": asked.size,
            "output_format": asked.output_format,
        }
        for index in range(len(task.image_url)):
            yield f"event: {name}\ndata: ".encode() + to_json(told)[:-1] + b',"b64_json":"'
            async for part in in_base64(self.tasks.image(task, index, caller)):
                yield part
            yield b'"}\n\n'


def add_images(app: FastAPI, images: Images) -> None:
    """Add both routes."""
    for name, route in (("generations", images.generate), ("edits", images.edit)):
        app.add_api_route(
            f"/openai/v1/images/{name}", route, methods=["POST"], include_in_schema=False
        )
