"""Accepting a task: after `Submit` returns, the task is in the ledger and SNS has taken it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.message import TaskMessage
from contracts.runtimes import Runtime
from contracts.state import TaskState
from ledger.port import Ledger
from ledger.record import Record
from router.domain import Choice, Submission, choose
from router.ports import Claims, Models, Notifier, Requests, TaskTopic
from router.quotas import Quotas
from router.requests import packed
from servicekit.errors import AppError

log = logging.getLogger(__name__)

# SNS takes 256 KiB with all attributes; the rest of the message and they need far below 16 KiB.
INLINE_BYTES: Final = 240 * 1024
WITHDRAW_BUDGET: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Accepts tasks, one call each."""

    runtimes: Sequence[Runtime]
    ledger: Ledger
    models: Models
    topic: TaskTopic
    claims: Claims
    notifier: Notifier
    quotas: Quotas
    requests: Requests
    output_bucket: str

    async def __call__(
        self, task: Submission, confirm: Callable[[], Awaitable[None]] | None = None
    ) -> Record:
        """The record of the accepted task. Safe to repeat with the same uid.

        What `confirm` raises, after the task was published, is as if that had failed.
        Raises `RejectedError` when no runtime takes it, its tenant has not allowed its
        `callback_url` or a quota is used up, and
        `TransientError` when it could not be recorded or published: then it was not accepted.
        """
        choice = choose(self.runtimes, task)
        if choice.checkpoint and choice.runtime.dynamic_model:
            await self.models.require_checkpoint(choice.checkpoint)
        if task.callback_url:
            await self.notifier.check_callback_url(task.tenant, task.callback_url)
        wanted = self._record(task, choice, counted=await self.quotas.take(task))
        try:
            message = await self._message(task, choice)
            record = await self.ledger.create(wanted)
            if record.state != TaskState.QUEUED:
                return record  # a repeated call, and an agent has the task already
            log.info("recorded", extra={"uid": task.uid, "event": "accepted"})
            await self.topic.publish(
                message,
                runtime=choice.runtime.name,
                tasktype=task.tasktype,
                tenant=task.tenant,
            )
            if confirm:
                await confirm()
        except (AppError, asyncio.CancelledError) as error:
            # The message may be out all the same. Then either an agent finds no record and
            # drops it, or it has begun and the task is accepted after all.
            begun = await self._take_back(task, wanted)
            if begun is None or isinstance(error, asyncio.CancelledError):
                raise
            log.info("accepted in spite of an unclear publish", extra={"uid": task.uid})
            record = begun
        if body := packed(task, choice.runtime.name):
            self.requests.keep(task.uid, body, record.created_at)
        log.info("published", extra={"uid": task.uid, "event": "queued"})
        return record

    async def _take_back(self, task: Submission, wanted: Record) -> Record | None:
        """Remove the record if only this call has it; give it if an agent has begun it."""
        try:
            async with asyncio.timeout(WITHDRAW_BUDGET.total_seconds()):
                held = await self.ledger.get(wanted.uid)
                # Another one is of an earlier call, whose client may have been told 200.
                if held == wanted:
                    gone = await self.ledger.withdraw(wanted.uid)
                    held = None if gone else await self.ledger.get(wanted.uid)
                if held is None and wanted.counted:
                    await self.quotas.give_back(task)
        except (AppError, TimeoutError):
            log.warning("refused task may still run", extra={"uid": wanted.uid})
            return None
        return held if held and held.state != TaskState.QUEUED else None

    def _record(self, task: Submission, choice: Choice, *, counted: bool) -> Record:
        return Record(
            uid=task.uid,
            id=task.id,
            tenant=task.tenant,
            key=task.key,
            runtime=choice.runtime.name,
            tasktype=task.tasktype,
            bucket=self.output_bucket,
            prefix=task.prefix,
            context_json=task.context_json,
            include=task.include,
            callback_url=task.callback_url,
            created_at=datetime.now(UTC),
            counted=counted,
        )

    async def _message(self, task: Submission, choice: Choice) -> bytes:
        inline = len(task.content_json) <= INLINE_BYTES
        key = None if inline else await self.claims.put(task.uid, task.content_json)
        message = TaskMessage.model_construct(
            uid=task.uid,
            id=task.id,
            runtime=choice.runtime.name,
            tasktype=task.tasktype,
            prefix=task.prefix,
            bucket=self.output_bucket,
            checkpoint=choice.checkpoint or None,
            accepted_at=datetime.now(UTC),
            timeout_seconds=task.timeout.total_seconds() if task.timeout else None,
            inputs=task.inputs,
            previews=task.previews,
            content_key=key,
        )
        head = message.model_dump_json(exclude_none=True).encode()
        # The body is JSON already; parsing it to write it again would cost most of this call.
        return head[:-1] + b',"content":' + task.content_json + b"}" if inline else head
