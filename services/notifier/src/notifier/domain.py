"""What may be done with a delivery, and what the world is told of a finished task."""

from __future__ import annotations

from pydantic_core import from_json

from contracts.callback import Callback, TerminalStatus
from contracts.state import TaskState
from contracts.verdict import Verdict
from ledger.record import Record

_STATUS: dict[TaskState, TerminalStatus] = {
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
}


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
    """The callback of a terminal record: the same one whenever it is asked for."""
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
    )
