"""Making a job of a task: everything that needs no device."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace

from contracts.fields import Path, find_texts
from contracts.kinds import Previews
from contracts.message import UndecodableError, decode_content
from queue_agent.domain import (
    Job,
    Leftovers,
    Task,
    TaskFailedError,
    UnworkableError,
)
from queue_agent.files.body import PART_BYTES, Body, open_body
from queue_agent.inputs.fetch import Fetched, Fetcher
from queue_agent.inputs.find import Chosen, Input, replaced
from queue_agent.metrics import Metrics
from queue_agent.ports import ClaimStore, ImageRuntime

tracer = trace.get_tracer(__name__)

FindInputs = Callable[[Mapping[str, Any], Chosen], list[Input]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparer:
    """Makes a job of a task: everything that needs no device."""

    claims: ClaimStore
    fetcher: Fetcher
    find_inputs: FindInputs
    runtime: ImageRuntime
    metrics: Metrics

    async def prepare(self, task: Task, leftovers: Leftovers) -> Job:
        """The job with every input in place; what was uploaded is added to `leftovers`.

        Raises `TaskFailedError` if an input or the body cannot be had, `UnworkableError` if the
        body in the claim bucket is none, and `TransientError`.
        """
        # What is said of an input may repeat a prompt: it belongs into the `.out` only.
        with tracer.start_as_current_span(
            "fetch", record_exception=False, set_status_on_exception=False
        ):
            content = await self._content(task)
            large: dict[str, Body] = {}
            inputs = self.find_inputs(content, _chosen(task, content))
            if inputs:
                content, large = await self._with_inputs(content, inputs, leftovers)
            job = Job(
                uid=task.uid,
                attempt=task.attempt,
                tasktype=task.message.tasktype,
                content=content,
                inputs=large,
                checkpoint=task.message.checkpoint,
                keep_previews=task.message.previews is Previews.KEEP,
            )
            return await self.runtime.encode(job)

    async def _content(self, task: Task) -> dict[str, Any]:
        if task.message.content is not None:
            return task.message.content
        body = await self.claims.read(task.message.content_key or "")
        try:
            return await asyncio.to_thread(decode_content, body)
        except UndecodableError as error:
            raise UnworkableError(str(error)) from None

    async def _with_inputs(
        self, content: Mapping[str, Any], inputs: list[Input], leftovers: Leftovers
    ) -> tuple[dict[str, Any], dict[str, Body]]:
        """The content with a value for each input, and the large ones by placeholder token."""
        fetched = await self.fetcher.fetch(inputs)
        self.metrics.inputs.add(sum(len(one.body) for one in fetched.values()))
        uploaded: dict[object, str] = {}
        values: dict[Path, str] = {}
        large: dict[str, Body] = {}
        for one in inputs:
            file = fetched[one.source]
            body = file.body
            if one.slot.upload:
                upload = (*one.source, one.slot.folder)
                if upload not in uploaded:
                    name = await asyncio.to_thread(_input_name, file, one.slot.folder)
                    uploaded[upload] = await self.runtime.upload(name, body)
                    leftovers.uploads.append(uploaded[upload])
                values[one.path] = uploaded[upload]
            elif isinstance(body, bytes):
                values[one.path] = (await asyncio.to_thread(base64.b64encode, body)).decode()
            else:
                # In the request only: as text in memory it would be there twice.
                values[one.path] = token = secrets.token_hex(16)
                large[token] = body
        return replaced(content, values), large


def _chosen(task: Task, content: Mapping[str, Any]) -> Chosen:
    names = task.message.inputs
    if names is None:
        return None
    try:
        return set(find_texts(content, names).values())
    except ValueError as error:
        raise TaskFailedError(f"inputs: {error}", code="input_unavailable") from None


def _input_name(file: Fetched, folder: str) -> str:
    with open_body(file.body) as reader:
        digest = hashlib.sha256()
        while part := reader.read(PART_BYTES):
            digest.update(part)
    name = f"darkroom-{digest.hexdigest()[:16]}.{file.extension}"
    return f"{folder}/{name}" if folder else name
