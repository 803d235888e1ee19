"""`Ledger` in a dictionary, for tests; the contract suite holds it to DynamoDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from contracts.cost import Cost
from contracts.ids import TaskId, Uid
from contracts.state import OPEN, Progress, TaskState
from ledger import transitions
from ledger.port import OfRuntime, Page, Wanted, wants
from ledger.record import CANCELLED, Record, Result
from ledger.transitions import DEFAULT_LIMITS, Limits
from ledger.usage import Used, summed, used_by


@dataclass
class MemoryLedger:
    """Keeps every record until the process ends."""

    records: dict[Uid, Record] = field(default_factory=dict)
    due_since: dict[Uid, datetime] = field(default_factory=dict)
    counted: list[Used] = field(default_factory=list)

    async def create(self, record: Record) -> Record:
        kept = self.records.setdefault(record.uid, record)
        if kept == record or kept.begun:
            return kept
        return self._store(replace(kept, adopted=True))

    async def withdraw(self, uid: Uid) -> bool:
        record = self.records.get(uid)
        return not (record and record.adopted) and await self.discard(uid)

    async def discard(self, uid: Uid) -> bool:
        record = self.records.get(uid)
        if record and record.begun:
            return False
        self.records.pop(uid, None)
        return True

    async def get(self, uid: Uid) -> Record | None:
        return self.records.get(uid)

    async def many(self, uids: Sequence[Uid]) -> list[Record]:
        return [self.records[uid] for uid in uids if uid in self.records]

    async def newest(self, tenant: str, task_id: TaskId) -> Record | None:
        found = [
            record
            for record in self.records.values()
            if (record.tenant, record.id) == (tenant, task_id)
        ]
        return max(found, key=lambda record: record.uid, default=None)

    async def page(
        self, wanted: Wanted, *, state: TaskState | None, limit: int, before: Uid | None
    ) -> Page:
        found = sorted(
            (
                record
                for record in self.records.values()
                if wants(wanted, record)
                and (state is None or record.state_for_clients == state)
                and (before is None or record.uid < before)
            ),
            key=lambda record: record.uid,
            reverse=True,
        )
        more = len(found) > limit
        records = tuple(found[:limit])
        return Page(records=records, next_before=records[-1].uid if more else None)

    async def waiting_since(self, runtime: str, among: int) -> datetime | None:
        wanted = OfRuntime(runtime=runtime)
        page = await self.page(wanted, state=None, limit=among, before=None)
        queued = [r for r in page.records[-100:] if r.state_for_clients is TaskState.QUEUED]
        return min((record.created_at for record in queued), default=None)

    async def begin(
        self,
        uid: Uid,
        now: datetime,
        receives: int = 0,
        *,
        limits: Limits = DEFAULT_LIMITS,
        staged: bool = False,
    ) -> Record | None:
        record = self.records.get(uid)
        if record is None or record.terminal:
            return record
        return self._store(transitions.begin(record, now, receives, limits, staged=staged))

    async def start(self, uid: Uid, attempt: int, started_at: datetime) -> Record | None:
        record = self.records.get(uid)
        if record is None or not _runs(record, attempt) or record.started_at:
            return record
        return self._store(replace(record, started_at=started_at, sequence=record.sequence + 1))

    async def report(self, uid: Uid, attempt: int, progress: Progress) -> Record | None:
        record = self.records.get(uid)
        if record is None or not _runs(record, attempt):
            return record
        return self._store(replace(record, progress=progress, sequence=record.sequence + 1))

    async def release(
        self,
        uid: Uid,
        attempt: int,
        *,
        interrupted: bool,
        reason: str,
        cost: Cost | None = None,
    ) -> Record | None:
        record = self.records.get(uid)
        if record is None or not _runs(record, attempt):
            return record
        return self._store(
            transitions.release(
                record, attempt, interrupted=interrupted, reason=reason, cost=cost
            )
        )

    async def charge(self, uid: Uid, attempt: int, cost: Cost) -> Record | None:
        record = self.records.get(uid)
        return record and self._store(transitions.charge(record, attempt, cost))

    async def mark_cancelled(self, uid: Uid) -> Record | None:
        record = self.records.get(uid)
        if record is None or record.terminal or record.cancel_requested:
            return record
        return self._store(replace(record, cancel_requested=True, sequence=record.sequence + 1))

    async def settle_cancel(self, uid: Uid, now: datetime) -> tuple[Record | None, bool]:
        record = self.records.get(uid)
        if record is None or not record.cancel_requested:
            return record, False
        if record.state_for_clients is not TaskState.QUEUED:
            return record, False
        return self._store(transitions.finish(record, CANCELLED, now)), True

    async def finish(
        self, uid: Uid, result: Result, now: datetime
    ) -> tuple[Record | None, bool]:
        record = self.records.get(uid)
        if record is None or record.state not in OPEN:
            return record, False
        return self._store(transitions.finish(record, result, now)), True

    async def mark_callback_sent(self, record: Record, now: datetime) -> None:
        kept = self.records.get(record.uid)
        if kept is not None and kept.callback_due:
            self._store(replace(kept, callback_due=False))
            self.counted.append(used_by(kept))

    async def used(
        self, first: date, last: date, *, tenant: str = "", key: str = ""
    ) -> tuple[Used, ...]:
        return summed(
            used
            for used in self.counted
            if first <= used.day <= last
            and tenant in {"", used.tenant}
            and key in {"", used.key}
        )

    async def overdue(self, before: datetime, limit: int) -> tuple[Uid, ...]:
        return tuple(uid for uid, since in self.due_since.items() if since < before)[:limit]

    async def take_overdue(self, uid: Uid, before: datetime, now: datetime) -> Record | None:
        if uid not in self.due_since or self.due_since[uid] >= before:
            return None
        self.due_since[uid] = now
        return self.records[uid]

    def _store(self, record: Record) -> Record:
        if not record.callback_due:
            self.due_since.pop(record.uid, None)
        elif record.finished_at:
            self.due_since.setdefault(record.uid, record.finished_at)
        self.records[record.uid] = record
        return record


def _runs(record: Record, attempt: int) -> bool:
    return record.state == TaskState.RUNNING and record.attempt == attempt
