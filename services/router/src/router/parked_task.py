"""What a dead letter is about, and how its task is submitted again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel, ValidationError

from contracts.ids import Uid, UidField
from contracts.message import TaskMessage, UndecodableError
from contracts.original import OriginalMessage
from contracts.runtimes import WEBHOOKS
from ledger.record import Record
from router.domain import DeadLetter, Submission


class _Event(BaseModel):
    """As much of a message of webhooks as tells its task."""

    uid: UidField


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a dead letter is about."""

    letter: DeadLetter
    uid: Uid | None = None  # None: of no task
    task: TaskMessage | None = None  # None: it does not carry one


def about(letter: DeadLetter, bucket: str) -> About:
    """What a dead letter is about; `bucket` is that of the results."""
    if letter.queue == WEBHOOKS:
        with suppress(ValidationError):
            return About(letter=letter, uid=_Event.model_validate_json(letter.body).uid)
        return About(letter=letter)
    task = _task(letter, bucket)
    return About(letter=letter, uid=task.uid if task else None, task=task)


def reason_of(seen: About, records: Mapping[Uid, Record]) -> str:
    """Why a message ended there, as far as anybody knows."""
    if seen.letter.reason or seen.letter.queue == WEBHOOKS:
        return seen.letter.reason
    if seen.task is None:
        return "it is no task message"
    record = records.get(seen.task.uid)
    if record is None:
        return "its task is not known any more"
    error = record.error
    return f"{error.code}: {error.message}" if error else f"its task is {record.state}"


def resubmission(task: TaskMessage, content: bytes, record: Record, uid: Uid) -> Submission:
    """The submission that asks for an ended task once more, for the same tenant and key.

    It counts in no quota: it is the operator's.
    """
    return Submission(
        uid=uid,
        id=task.id,
        tenant=record.tenant,
        key=record.key,
        runtime=task.runtime,
        tasktype=task.tasktype,
        prefix=task.prefix,
        context_json=record.context_json,
        content_json=content,
        checkpoint=task.checkpoint or "",
        timeout=timedelta(seconds=task.timeout_seconds) if task.timeout_seconds else None,
        inputs=task.inputs,
        previews=task.previews,
        include=record.include,
        callback_url=record.callback_url,
    )


def _task(letter: DeadLetter, bucket: str) -> TaskMessage | None:
    with suppress(UndecodableError):
        return TaskMessage.decode(letter.body)
    with suppress(UndecodableError):
        return OriginalMessage.decode(letter.body).task(
            runtime=letter.queue,
            bucket=bucket,
            message_id=letter.message_id,
            sent_at=letter.sent_at,
        )
    return None
