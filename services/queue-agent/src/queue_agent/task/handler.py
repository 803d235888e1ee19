"""One delivery from its bytes to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from opentelemetry import trace

from contracts.verdict import Verdict
from queue_agent.concurrency import run_with
from queue_agent.domain import (
    CancelledByClientError,
    Delivery,
    Leftovers,
    Outcome,
    PoisonedError,
    RuntimeLostError,
    Task,
    TaskFailedError,
)
from queue_agent.metrics import Metrics
from queue_agent.pipeline.delivery_state import DeliveryState
from queue_agent.ports import Notifier
from queue_agent.task.incoming import MessageReader
from queue_agent.task.prepare import Preparer
from queue_agent.task.progress import ProgressReporter
from queue_agent.task.results import ResultPublisher, log_event
from queue_agent.task.run import TIMEOUT, Runner, cancelled, failed
from servicekit.telemetry import incoming_context

# Of the URLs in a callback; SNS has room for 256 KiB, with context and error.
ADDRESS_BYTES: Final = 150_000
tracer = trace.get_tracer(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """Does what one message asks."""

    reader: MessageReader
    notifier: Notifier
    preparer: Preparer
    runner: Runner
    publisher: ResultPublisher
    metrics: Metrics
    clean_up: Callable[[Leftovers], None]
    now: Callable[[], datetime]

    async def handle(self, delivery: Delivery, state: DeliveryState) -> None:
        """Return when the message may be deleted; `state` knows how far it is meanwhile.

        Raises `UnworkableError` for a message that must be released at once, `TransientError`
        for one that may be tried again. Safe to repeat.
        """
        incoming = self.reader.read(delivery)
        message = incoming.message
        with tracer.start_as_current_span(
            "queue-agent task",
            context=incoming_context(delivery.attributes),
            kind=trace.SpanKind.CONSUMER,
            attributes={
                "uid": message.uid,
                "runtime": message.runtime,
                "tasktype": message.tasktype.value,
            },
        ) as span:
            begun = await self.notifier.begin(incoming, delivery.receives)
            if begun.verdict is Verdict.POISONED:
                raise PoisonedError("the task has failed too often", uid=message.uid)
            if begun.verdict is not Verdict.PROCEED:
                self._count(begun.verdict.name.lower())
                return
            span.set_attribute("attempt", begun.attempt)
            task = Task(message=message, attempt=begun.attempt)
            log_event(task, "leased")
            state.mark_staged(task)
            await self._do(task, state)
            state.mark_callback_sent()

    async def _do(self, task: Task, state: DeliveryState) -> None:
        clock = asyncio.get_running_loop().time
        if task.attempt == 1:
            waited = self.now() - task.message.accepted_at
            self.metrics.queue_wait.record(max(0.0, waited.total_seconds()))
        started = clock()
        leftovers = Leftovers(uid=task.uid, attempt=task.attempt)
        try:
            reporter = ProgressReporter(self.notifier, task, self.now)
            outcome, generation = await self._outcome(task, state, leftovers, reporter)
            try:
                told = replace(outcome, started_at=reporter.started_at, cost=state.cost)
                await self.publisher.publish(told)
            finally:
                outcome.close()
        finally:
            self.clean_up(leftovers)  # last: what has not been stored by now is made again
        self.metrics.generation.record(generation)
        self.metrics.overhead.record(clock() - started - generation)
        if outcome.failure:
            self.metrics.failures.add(1, {"code": outcome.failure.code})
            trace.get_current_span().set_status(trace.StatusCode.ERROR, outcome.failure.code)
        self._count(_name(outcome))

    async def _outcome(
        self,
        task: Task,
        state: DeliveryState,
        leftovers: Leftovers,
        reporter: ProgressReporter,
    ) -> tuple[Outcome, float]:
        try:
            run = self._run(task, state, leftovers, reporter)
            return await run_with(run, reporter.send())
        except TaskFailedError as error:
            return failed(task, error, self.runner.out), 0.0
        except CancelledByClientError:
            return cancelled(task, self.runner.out), 0.0

    async def _run(
        self,
        task: Task,
        state: DeliveryState,
        leftovers: Leftovers,
        reporter: ProgressReporter,
    ) -> tuple[Outcome, float]:
        outcome, seconds = await self._generated(task, state, leftovers, reporter)
        log_event(task, "generated")
        if _addresses(outcome) > ADDRESS_BYTES:
            outcome.close()
            raise TaskFailedError(
                f"the run made {len(outcome.files)} files, more than a callback has room for",
                code="runtime_error",
            )
        return outcome, seconds

    async def _generated(
        self,
        task: Task,
        state: DeliveryState,
        leftovers: Leftovers,
        reporter: ProgressReporter,
    ) -> tuple[Outcome, float]:
        """What the run made; a runtime that is lost before it began is waited for."""
        while True:
            await state.runtime_ready()
            try:
                job = await self.preparer.prepare(task, leftovers)
                async with state.runtime_slot(reporter.start) as slot:
                    outcome = await self.runner.run(task, job, reporter.report, slot)
                    if outcome.failure and outcome.failure.code == TIMEOUT:
                        state.doubt_runtime()
            except RuntimeLostError as error:
                state.lose(error)
            else:
                return outcome, slot.seconds

    def _count(self, outcome: str) -> None:
        self.metrics.tasks.add(1, {"outcome": outcome})


def _addresses(outcome: Outcome) -> int:
    """How many bytes the URLs have that the callback will list."""
    last = outcome.task.place.own_file_key(len(outcome.files) or 1, "webp")
    return len(outcome.files) * len(outcome.task.place.url(last).encode())


def _name(outcome: Outcome) -> str:
    if outcome.cancelled:
        return "cancelled"
    return "failed" if outcome.failure else "completed"
