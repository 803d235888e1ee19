"""`Ledger` in a dictionary, for tests; the contract suite holds it to DynamoDB."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from contracts.ids import TaskId, Uid
from ledger.port import Page
from ledger.record import OPEN, Progress, Record, Result, State


@dataclass
class MemoryLedger:
    """Keeps every record until the process ends."""

    records: dict[Uid, Record] = field(default_factory=dict)

    async def create(self, record: Record) -> Record:
        return self.records.setdefault(record.uid, record)

    async def withdraw(self, uid: Uid) -> bool:
        record = self.records.get(uid)
        if record and (record.state != State.QUEUED or record.attempt):
            return False
        self.records.pop(uid, None)
        return True

    async def get(self, uid: Uid) -> Record | None:
        return self.records.get(uid)

    async def newest(self, task_id: TaskId) -> Record | None:
        found = [record for record in self.records.values() if record.id == task_id]
        return max(found, key=lambda record: record.uid, default=None)

    async def page(
        self, runtime: str, *, state: State | None, limit: int, before: Uid | None
    ) -> Page:
        found = sorted(
            (
                record
                for record in self.records.values()
                if record.runtime == runtime
                and (state is None or record.state == state)
                and (before is None or record.uid < before)
            ),
            key=lambda record: record.uid,
            reverse=True,
        )
        more = len(found) > limit
        records = tuple(found[:limit])
        return Page(records=records, next_before=records[-1].uid if more else None)

    async def begin(self, uid: Uid, now: datetime) -> Record | None:
        record = self.records.get(uid)
        if record and record.state in OPEN:
            record = self.records[uid] = replace(
                record,
                state=State.RUNNING,
                attempt=record.attempt + 1,
                started_at=now,
                progress=None,
            )
        return record

    async def report(self, uid: Uid, attempt: int, progress: Progress) -> None:
        record = self.records.get(uid)
        if record and record.state == State.RUNNING and record.attempt == attempt:
            self.records[uid] = replace(record, progress=progress)

    async def finish(
        self, uid: Uid, result: Result, now: datetime
    ) -> tuple[Record | None, bool]:
        record = self.records.get(uid)
        if record is None or record.terminal:
            return record, False
        self.records[uid] = replace(
            record,
            state=result.state,
            finished_at=now,
            image_url=result.image_url,
            output_url=result.output_url,
            error=result.error,
            progress=None,
            callback_due=True,
        )
        return self.records[uid], True

    async def told(self, uid: Uid) -> None:
        if record := self.records.get(uid):
            self.records[uid] = replace(record, callback_due=False)
