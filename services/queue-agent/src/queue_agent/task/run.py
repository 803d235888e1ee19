"""Letting the runtime do a job, within its time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from opentelemetry import trace

from queue_agent.concurrency import run_with
from queue_agent.domain import Generated, Job, Outcome, Task, TaskFailedError
from queue_agent.pipeline.slots import RuntimeSlot
from queue_agent.ports import ImageRuntime, Report
from queue_agent.task.evidence import Evidence
from queue_agent.task.out_document import OutFormat
from queue_agent.task.run_limits import RunLimits, run_timeout

TIMEOUT: Final = "timeout"
tracer = trace.get_tracer(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Lets the runtime do a job."""

    runtime: ImageRuntime
    out: OutFormat
    limits: RunLimits
    evidence: Evidence = field(default_factory=Evidence)

    async def run(self, task: Task, job: Job, report: Report, slot: RuntimeSlot) -> Outcome:
        """What came out; a job that fails is an outcome, too. The slot is released early.

        Raises `RuntimeBrokenError` if the failure is the runtime's own, `RuntimeLostError` and
        `TransientError` for interruptions. When cancelled, the runtime is interrupted and
        nothing comes out.
        """
        try:
            generated = await self._generate(task, job, report, slot)
        except TaskFailedError as error:
            self.evidence.weigh(job, error)
            return failed(task, error, self.out)
        self.evidence.clear()
        if not generated.files and not generated.has_text:
            message = generated.why_nothing or "the runtime made nothing"
            nothing = TaskFailedError(message, code="no_output", answer=generated.answer)
            return failed(task, nothing, self.out)
        document = self.out.completed(task.message.id, job, generated)
        return Outcome(
            task=task,
            document=document,
            files=generated.files,
            warnings=generated.warnings,
        )

    async def _generate(
        self, task: Task, job: Job, report: Report, slot: RuntimeSlot
    ) -> Generated:
        limit = self._limit(task, job).total_seconds()
        handed_over = time.time_ns()
        try:
            async with asyncio.timeout(None) as deadline:
                work = self.runtime.run(job, report, slot.release_early, slot.start)
                return await run_with(work, _time_limit(slot, deadline, limit))
        except TimeoutError as error:
            raise TaskFailedError(
                f"the runtime took longer than {limit:g} s",
                code=TIMEOUT,
                retryable=True,
            ) from error
        finally:
            # Made afterwards: the runtime would wait for it. No error is recorded, since what a
            # runtime says may repeat a prompt: it belongs into the `.out`, not into a trace.
            tracer.start_span("run", start_time=handed_over).end()

    def _limit(self, task: Task, job: Job) -> timedelta:
        asked = task.message.timeout_seconds
        limit = run_timeout(job.tasktype, job.content, asked, self.limits)
        if asked is not None:
            return limit
        return min(limit + self.runtime.loading(job), self.limits.cap)


async def _time_limit(slot: RuntimeSlot, deadline: asyncio.Timeout, seconds: float) -> None:
    """Start the clock when the runtime begins with the run: until then others have it."""
    await slot.started.wait()
    deadline.reschedule(asyncio.get_running_loop().time() + seconds)


def cancelled(task: Task, out: OutFormat) -> Outcome:
    """The outcome of a task that its client took back."""
    document = out.failed(task.message.id, TaskFailedError("cancelled", code="cancelled"))
    return Outcome(task=task, document=document, cancelled=True)


def failed(task: Task, error: TaskFailedError, out: OutFormat) -> Outcome:
    """The outcome that a failure is."""
    document = out.failed(task.message.id, error)
    return Outcome(task=task, document=document, failure=error.failure)
