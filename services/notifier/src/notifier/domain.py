"""What may be done with a delivery, and what the world is told of a finished task."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_core import from_json

from contracts.callback import Callback, TerminalStatus
from contracts.cost import CostView
from contracts.ids import Uid
from contracts.kinds import Extra
from contracts.message import TaskMessage
from contracts.state import TaskState
from contracts.verdict import Verdict
from ledger.record import DIRECT, Record

_STATUS: dict[TaskState, TerminalStatus] = {
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """What a message in a dead-letter queue says; it need not be of a task."""

    uid: Uid
    new: Record | None = None  # what to record if nothing is: it was published past the router


def new_record(task: TaskMessage, context_json: str) -> Record:
    """The first record of a task that was published past the router."""
    return Record(
        uid=task.uid,
        id=task.id,
        tenant=DIRECT,
        runtime=task.runtime,
        tasktype=task.tasktype,
        bucket=task.bucket,
        prefix=task.prefix,
        context_json=context_json,
        created_at=task.accepted_at,
    )


def judge(record: Record | None) -> Verdict:
    """The verdict on a delivery, from its record after the attempt was counted."""
    if record is None:
        return Verdict.UNKNOWN
    if record.poisoned:
        return Verdict.POISONED
    return Verdict.FINISHED if record.terminal else Verdict.PROCEED


def is_taken_back(record: Record | None) -> bool:
    """Whether an agent shall stop, because the client took the task back."""
    return record is not None and (
        record.cancel_requested or record.state is TaskState.CANCELLED
    )


def callback_of(record: Record) -> Callback:
    """The callback of a terminal record: the same one whenever it is asked for.

    Only an attempt that is charged later changes its cost.
    """
    asked = Extra.COST in record.include
    return Callback(
        id=record.id,
        result=record.state == TaskState.COMPLETED,
        image_url=list(record.image_url),
        output_url=record.output_url,
        context=from_json(record.context_json),
        runtime=record.runtime,
        status=_STATUS[record.state],
        uid=record.uid,
        error=record.error,
        warnings=record.warnings,
        cost=CostView.of(record.cost) if asked and record.cost else None,
    )
