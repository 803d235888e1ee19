"""What the router and the notifier need of the ledger; every write is conditional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.cost import Cost
from contracts.ids import TaskId, Uid
from contracts.state import Progress, TaskState
from ledger.record import Record, Result
from ledger.transitions import DEFAULT_LIMITS, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records, newest first."""

    records: tuple[Record, ...]
    next_before: Uid | None  # where the next page begins; None after the last


@dataclass(frozen=True, slots=True, kw_only=True)
class OfTenant:
    """The records of one tenant, or those of one runtime among them."""

    tenant: str
    runtime: str = ""  # empty: of all
    text: str = ""  # a part of their uid or id, in upper or lower case


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRuntime:
    """The records of one runtime, whosever they are."""

    runtime: str
    text: str = ""  # a part of their uid or id, in upper or lower case


Wanted = OfTenant | OfRuntime


def wants(wanted: Wanted, record: Record) -> bool:
    """Whether a record is among those that are wanted."""
    if isinstance(wanted, OfTenant) and record.tenant != wanted.tenant:
        return False
    text = wanted.text.lower()
    named = text in record.uid.lower() or text in record.id.lower()
    return named and wanted.runtime in {"", record.runtime}


class Ledger(Protocol):
    """The task records. Every method raises `TransientError` when they cannot be reached."""

    async def create(self, record: Record) -> Record:
        """Store a new record, or give the one that has its uid already, made by another call.

        That one is adopted: the call that made it cannot withdraw it any more.
        """
        ...

    async def withdraw(self, uid: Uid) -> bool:
        """Remove a record that no agent has begun and no other call has adopted.

        Gives False if one has.
        """
        ...

    async def discard(self, uid: Uid) -> bool:
        """Remove a record that no agent has begun; False if one has.

        For callers who know that no call of this submission can be accepted any more.
        """
        ...

    async def get(self, uid: Uid) -> Record | None:
        """The record of one submission, as of now."""
        ...

    async def many(self, uids: Sequence[Uid]) -> list[Record]:
        """The records of these uids that there are, as of now."""
        ...

    async def newest(self, tenant: str, task_id: TaskId) -> Record | None:
        """A tenant's newest submission under its id; may lag a moment behind `create`."""
        ...

    async def page(
        self, wanted: Wanted, *, state: TaskState | None, limit: int, before: Uid | None
    ) -> Page:
        """Up to `limit` records that are wanted, older than `before`.

        `state` is that for clients. A record that was just created may be missing.
        """
        ...

    async def waiting_since(self, runtime: str, among: int) -> datetime | None:
        """When the oldest queued one of a runtime's newest tasks was accepted.

        It is looked for among so many of them, and there among the oldest hundred; None if
        there is none.
        """
        ...

    async def begin(
        self,
        uid: Uid,
        now: datetime,
        receives: int = 0,
        *,
        limits: Limits = DEFAULT_LIMITS,
        staged: bool = False,
    ) -> Record | None:
        """Count one more attempt and mark it as running, unless the task has to end.

        If it is `staged`, `start` tells when the runtime has begun with it. A task with a
        cancel mark ends as cancelled, one that is over a limit as failed with the code
        `poisoned`. Gives the record as it then stands, None if there is none.
        """
        ...

    async def start(self, uid: Uid, attempt: int, started_at: datetime) -> Record | None:
        """Note that the runtime has begun with the present attempt, which was staged.

        Ignored for another attempt, an ended task, or when it was noted before. Gives the
        record as it then stands.
        """
        ...

    async def report(self, uid: Uid, attempt: int, progress: Progress) -> Record | None:
        """Keep the progress of the present attempt; ignored for another or an ended one.

        Gives the record as it then stands.
        """
        ...

    async def release(
        self,
        uid: Uid,
        attempt: int,
        *,
        interrupted: bool,
        reason: str,
        cost: Cost | None = None,
    ) -> Record | None:
        """Note that the present attempt ended without a result; the task is queued again.

        Counts a failure unless it was interrupted. Ignored for another attempt, an ended task,
        or when it was noted before. Gives the record as it then stands.
        """
        ...

    async def charge(self, uid: Uid, attempt: int, cost: Cost) -> Record | None:
        """Add the cost of an attempt, of an ended task too, unless it is counted already.

        `release` and `finish` do that as well, if they commit. Gives the record as it stands.
        """
        ...

    async def mark_cancelled(self, uid: Uid) -> Record | None:
        """Note that the client takes an open task back; gives the record as it then stands."""
        ...

    async def settle_cancel(self, uid: Uid, now: datetime) -> tuple[Record | None, bool]:
        """Commit a marked task as cancelled if it is queued for clients.

        Gives the record as it stands, and whether this call committed it.
        """
        ...

    async def finish(
        self, uid: Uid, result: Result, now: datetime
    ) -> tuple[Record | None, bool]:
        """Commit the terminal state once, with its callback due and no progress left.

        The first result wins, also a completed one over a cancel mark. Gives the record as it
        stands, and whether this call committed it.
        """
        ...

    async def mark_callback_sent(self, record: Record, now: datetime) -> None:
        """Note that a due callback was sent, and count its task as used. Safe to repeat."""
        ...

    async def overdue(self, before: datetime, limit: int) -> tuple[Uid, ...]:
        """Up to `limit` tasks whose callback is due since before then; may lag."""
        ...

    async def take_overdue(self, uid: Uid, before: datetime, now: datetime) -> Record | None:
        """The record if its callback is due since before then, to one caller only.

        From then on it counts as due since `now`.
        """
        ...
