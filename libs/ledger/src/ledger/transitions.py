"""What follows what: the record after each thing that may happen to an open task. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from contracts.callback import Failure
from contracts.cost import Cost
from contracts.state import TaskState
from ledger.record import CANCELLED, POISONED, Record, Result

REASON_CHARACTERS: Final = 500
_LOST: Final = "the agent was lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a task is given up; both are told in its error."""

    failures: int = 3  # attempts that the platform failed
    receives: int = 10  # as the queue's maxReceiveCount: it takes the message away after these


DEFAULT_LIMITS: Final = Limits()


def begin(
    record: Record, now: datetime, receives: int, limits: Limits, *, staged: bool = False
) -> Record:
    """An open record after a delivery: running, or at its end.

    An attempt that still counts as running was lost with its agent, which is a failure of the
    platform; unless this is the same delivery again, whose first answer did not arrive.
    """
    repeated = receives > 0 and receives == record.receives
    if record.state is TaskState.RUNNING and not repeated:
        record = replace(record, failures=record.failures + 1, last_reason=_LOST)
    record = replace(record, receives=receives)
    if record.cancel_requested:
        return finish(record, CANCELLED, now)
    if record.failures >= limits.failures or receives >= limits.receives:
        return finish(record, Result(error=_poison(record)), now)
    return replace(
        record,
        state=TaskState.RUNNING,
        attempt=record.attempt + 1,
        started_at=None if staged else now,
        progress=None,
        sequence=record.sequence + 1,
    )


def release(
    record: Record, attempt: int, *, interrupted: bool, reason: str, cost: Cost | None = None
) -> Record:
    """The record after its running attempt ended without a result."""
    return replace(
        charge(record, attempt, cost),
        state=TaskState.QUEUED,
        started_at=None,
        progress=None,
        released_attempt=attempt,
        failures=record.failures + (not interrupted),
        interruptions=record.interruptions + interrupted,
        last_reason=reason[:REASON_CHARACTERS],
        sequence=record.sequence + 1,
    )


def finish(record: Record, result: Result, now: datetime) -> Record:
    """An open record with its result, and its callback due."""
    return replace(
        charge(record, result.attempt, result.cost),
        state=result.state,
        started_at=record.started_at or result.started_at,
        finished_at=now,
        image_url=result.image_url,
        output_url=result.output_url,
        error=result.error,
        warnings=result.warnings,
        progress=None,
        callback_due=True,
        sequence=record.sequence + 1,
    )


def charge(record: Record, attempt: int, cost: Cost | None) -> Record:
    """The record with the cost of one more attempt, each of which counts once."""
    if cost is None or attempt in record.charged:
        return record
    total = record.cost + cost if record.cost else cost
    return replace(
        record,
        charged=(*record.charged, attempt),
        gpu_ms=total.gpu_ms,
        cost_micros=total.micros,
        currency=total.currency,
        node_type=total.node_type,
        capacity=total.capacity,
    )


def parked(record: Record) -> Result:
    """What an open record comes to whose message is in the dead-letter queue.

    Nobody hands that message over any more, so nothing else can end the task.
    """
    if record.cancel_requested:
        return CANCELLED
    message = (
        "given up: its message is in the dead-letter queue, "
        f"after {record.attempt} attempts{_blamed(record)}"
    )
    return Result(error=Failure(code=POISONED, message=message, retryable=True))


def _poison(record: Record) -> Failure:
    message = (
        f"given up after {record.attempt} attempts and {record.receives} deliveries"
        f"{_blamed(record)}"
    )
    return Failure(code=POISONED, message=message, retryable=True)


def _blamed(record: Record) -> str:
    last = f"; the last time: {record.last_reason}" if record.last_reason else ""
    return f", of which the platform failed {record.failures}{last}"
