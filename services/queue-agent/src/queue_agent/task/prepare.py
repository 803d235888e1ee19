"""What is done with one task: prepare, run, deliver.

The three know nothing of each other but the frozen values between them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from opentelemetry import trace

from contracts.message import UndecodableError, decode_content
from queue_agent.concurrency import beside
from queue_agent.domain import (
    Generated,
    Job,
    Outcome,
    Remains,
    Task,
    TaskFailedError,
    UnworkableError,
)
from queue_agent.files.body import PART_BYTES, Body, opened
from queue_agent.files.types import file_type
from queue_agent.inputs.fetch import Fetcher
from queue_agent.inputs.find import Input, Path, replaced
from queue_agent.metrics import Measures
from queue_agent.pipeline.slots import Turn
from queue_agent.ports import ClaimStore, ImageRuntime, Report
from queue_agent.task.out_document import OutFormat
from queue_agent.task.run_limits import RunLimits, run_timeout

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

FindInputs = Callable[[Mapping[str, Any]], list[Input]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparer:
    """Makes a job of a task: everything that needs no device."""

    claims: ClaimStore
    fetcher: Fetcher
    find_inputs: FindInputs
    runtime: ImageRuntime
    measures: Measures

    async def prepare(self, task: Task, remains: Remains) -> Job:
        """Give the job with every input in place, noting in `remains` what was uploaded.

        Raises `TaskFailedError` if an input cannot be had, `UnworkableError` if the body in the
        claim bucket is none, and `TransientError`.
        """
        with _span("fetch"):
            content = await self._content(task)
            large: dict[str, Body] = {}
            inputs = self.find_inputs(content)
            if inputs:
                content, large = await self._with_inputs(content, inputs, remains)
            job = Job(
                uid=task.uid,
                attempt=task.attempt,
                tasktype=task.message.tasktype,
                content=content,
                inputs=large,
                checkpoint=task.message.checkpoint,
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
        self, content: Mapping[str, Any], inputs: list[Input], remains: Remains
    ) -> tuple[dict[str, Any], dict[str, Body]]:
        """Give the content with a value for each input, and what some of them stand for."""
        bodies = await self.fetcher.fetch(inputs)
        self.measures.inputs.add(sum(map(len, bodies.values())))
        uploaded: dict[str, str] = {}
        values: dict[Path, str] = {}
        large: dict[str, Body] = {}
        for one in inputs:
            body = bodies[one.url]
            if one.upload:
                if one.url not in uploaded:
                    name = await asyncio.to_thread(_input_name, body)
                    uploaded[one.url] = await self.runtime.upload(name, body)
                    remains.uploads.append(uploaded[one.url])
                values[one.path] = uploaded[one.url]
            elif isinstance(body, bytes):
                values[one.path] = (await asyncio.to_thread(base64.b64encode, body)).decode()
            else:
                # In the request only: as text in memory it would be there twice.
                values[one.path] = word = secrets.token_hex(16)
                large[word] = body
        return replaced(content, values), large


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Lets the runtime do a job."""

    runtime: ImageRuntime
    out: OutFormat
    limits: RunLimits

    async def run(self, task: Task, job: Job, report: Report, turn: Turn) -> Outcome:
        """Give what came out; a job that fails is an outcome, too. The turn is freed early.

        Raises `RuntimeLostError` and `TransientError` for interruptions. When cancelled, the
        runtime is interrupted and nothing comes out.
        """
        try:
            generated = await self._generate(task, job, report, turn)
        except TaskFailedError as error:
            return failed(task, error, self.out)
        if not generated.files and not generated.has_text:
            nothing = TaskFailedError("the runtime made nothing", code="no_output")
            return failed(task, nothing, self.out)
        document = self.out.completed(task.message.id, job, generated)
        return Outcome(task=task, document=document, files=generated.files)

    async def _generate(self, task: Task, job: Job, report: Report, turn: Turn) -> Generated:
        limit = self._limit(task, job).total_seconds()
        with _span("run"):
            try:
                async with asyncio.timeout(None) as deadline:
                    work = self.runtime.run(job, report, turn.free)
                    return await beside(work, _time_limit(turn, deadline, limit))
            except TimeoutError as error:
                raise TaskFailedError(
                    f"the runtime took longer than {limit:g} s",
                    code="timeout",
                    retryable=True,
                ) from error

    def _limit(self, task: Task, job: Job) -> timedelta:
        asked = task.message.timeout_seconds
        limit = run_timeout(job.tasktype, job.content, asked, self.limits)
        if asked is not None:
            return limit
        return min(limit + self.runtime.loading(job), self.limits.cap)


async def _time_limit(turn: Turn, deadline: asyncio.Timeout, seconds: float) -> None:
    """Start the clock when the run begins: until then others have the runtime."""
    await turn.begun.wait()
    deadline.reschedule(asyncio.get_running_loop().time() + seconds)


def cancelled(task: Task, out: OutFormat) -> Outcome:
    """Give the outcome of a task that its client took back."""
    document = out.failed(task.message.id, TaskFailedError("cancelled", code="cancelled"))
    return Outcome(task=task, document=document, cancelled=True)


def failed(task: Task, error: TaskFailedError, out: OutFormat) -> Outcome:
    """Give the outcome that a failure is."""
    document = out.failed(task.message.id, error)
    return Outcome(task=task, document=document, failure=error.failure)


def _span(name: str) -> AbstractContextManager[trace.Span]:
    # What a runtime says may repeat a prompt: it belongs into the `.out`, not into a trace.
    return tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False
    )


def _input_name(body: Body) -> str:
    extension = file_type(body).extension
    with opened(body) as reader:
        digest = hashlib.sha256()
        while part := reader.read(PART_BYTES):
            digest.update(part)
    return f"darkroom-{digest.hexdigest()[:16]}.{extension}"
