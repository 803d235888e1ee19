"""The life of a task after it was queued: begun, moved on, ended once and told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry import metrics

from contracts.cost import Cost
from contracts.ids import Uid
from contracts.state import Progress, TaskState
from contracts.verdict import Verdict
from ledger.open_tasks import OpenTasks, Owner
from ledger.port import Ledger
from ledger.record import Record, Result
from ledger.transitions import DEFAULT_LIMITS, Limits, parked
from notifier.changes import Changes
from notifier.domain import callback_of, is_taken_back, judge
from notifier.ports import Announcer, ResultTopic
from notifier.progress_limiter import ProgressLimiter
from servicekit.errors import TransientError

log = logging.getLogger(__name__)
SENDING: Final = timedelta(seconds=10)  # for so long whoever committed may be about to tell
meter = metrics.get_meter(__name__)
_ended = meter.create_counter(
    "darkroom.tasks.ended", unit="{task}", description="Tasks by runtime and terminal state"
)
_begun = meter.create_counter(
    "darkroom.tasks.begun", unit="{attempt}", description="Attempts begun, by runtime"
)
_told = meter.create_counter(
    "darkroom.callbacks.sent", unit="{callback}", description="Callbacks, by terminal state"
)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Commits what happens to tasks; raises `TransientError`, each call may be repeated."""

    ledger: Ledger
    topic: ResultTopic
    webhooks: Announcer
    changes: Changes
    limiter: ProgressLimiter  # of the progress of one task
    open_tasks: OpenTasks
    count: Callable[[Record], None]  # that a task has ended
    limits: Limits = DEFAULT_LIMITS
    now: Callable[[], datetime] = _now

    async def begin(
        self,
        uid: Uid,
        agent: str,
        receives: int = 0,
        *,
        new: Record | None = None,
        staged: bool = False,
    ) -> tuple[Verdict, int]:
        """The verdict on a delivery, and the number of the attempt.

        A task that was taken back or has failed too often is ended by it. `new` is recorded if
        the task has no record. If it is `staged`, `report` tells when the runtime begins.
        """
        now = self.now()
        if new is not None:
            await self.ledger.create(new)
        record = await self.ledger.begin(uid, now, receives, limits=self.limits, staged=staged)
        verdict = judge(record)
        if record is None or verdict is not Verdict.PROCEED:
            log.info(
                "delivery needs no work", extra={"uid": uid, "verdict": verdict.name.lower()}
            )
            if record is not None:
                await self._ended(record, committed=record.finished_at == now)
            return verdict, 0
        self.changes.wake(uid)
        _begun.add(1, {"runtime": record.runtime})
        log.info("begun", extra={"uid": uid, "attempt": record.attempt, "agent": agent})
        return verdict, record.attempt

    async def report(
        self,
        uid: Uid,
        attempt: int,
        progress: Progress | None,
        started_at: datetime | None = None,
    ) -> bool:
        """Keep how far the present attempt is; gives whether the task was taken back.

        Without news no progress is written, nor within a second of the last.
        """
        if started_at is not None:
            await self.ledger.start(uid, attempt, started_at)
            self.changes.wake(uid)
        if progress is None or not self.limiter.allows(uid, self.now()):
            return is_taken_back(await self.ledger.get(uid))
        record = await self.ledger.report(uid, attempt, progress)
        self.changes.wake(uid)
        return is_taken_back(record)

    async def release(
        self,
        uid: Uid,
        attempt: int,
        *,
        interrupted: bool,
        reason: str,
        cost: Cost | None = None,
    ) -> None:
        """Note that an attempt ended without a result; a task that was taken back ends."""
        record = await self.ledger.release(
            uid, attempt, interrupted=interrupted, reason=reason, cost=cost
        )
        if record is not None:
            record = await self._charged(record, attempt, cost)
        self.changes.wake(uid)
        log.info(
            "released",
            extra={
                "uid": uid,
                "attempt": attempt,
                "interrupted": interrupted,
                "reason": reason,
            },
        )
        if is_taken_back(record):
            await self.settle_cancel(uid)

    async def settle_cancel(self, uid: Uid) -> bool:
        """End a marked task that no runtime works on; gives whether it is cancelled."""
        record, committed = await self.ledger.settle_cancel(uid, self.now())
        if record is None or not record.terminal:
            return False
        await self._ended(record, committed=committed)
        return record.state is TaskState.CANCELLED

    async def finish(self, uid: Uid, result: Result) -> bool:
        """Commit the result and tell the world; gives whether it is the one that counts.

        The first result wins. A later one publishes nothing; the same one again, whose caller
        had no answer, sends the callback if that is still due.
        """
        record, committed = await self.ledger.finish(uid, result, self.now())
        if record is None:
            log.warning("finished task has no record", extra={"uid": uid})
            return False
        record = await self._charged(record, result.attempt, result.cost)
        await self._ended(record, committed=committed, repeated=record.state is result.state)
        return committed

    async def is_open(self, uid: Uid) -> bool:
        """Whether the task has a record and has not ended."""
        record = await self.ledger.get(uid)
        return record is not None and not record.terminal

    async def close_parked(self, uid: Uid, new: Record | None = None) -> bool:
        """End a task whose message is in a dead-letter queue; gives whether this call did.

        `new` is recorded first if the task has no record.

        It is `poisoned`, unless it had ended before or was taken back.
        """
        record = await self.ledger.get(uid)
        if record is None and new is not None:
            record = await self.ledger.create(new)
        if record is None or record.terminal:
            return False
        ended, committed = await self.ledger.finish(uid, parked(record), self.now())
        if ended is not None:
            await self._ended(ended, committed=committed)
        return committed

    async def send_callback(self, record: Record) -> None:
        """Send the callback of an ended task if it is due."""
        if not record.callback_due:
            return
        await self.topic.publish(callback_of(record), record.tasktype)
        await self.webhooks.announce(record)
        _told.add(1, {"state": record.state})
        log.info("told", extra={"uid": record.uid, "event": "notified"})
        await self.ledger.mark_callback_sent(record, self.now())

    async def _make_room(self, record: Record) -> None:
        """Let the key of an ended task have another one, before its client is told."""
        if not record.counted:
            return
        try:
            await self.open_tasks.give_back(Owner(record.tenant, record.key), record.uid)
        except TransientError as error:  # the sweep does it
            log.warning("an ended task still counts", exc_info=error, extra={"uid": record.uid})

    async def _charged(self, record: Record, attempt: int, cost: Cost | None) -> Record:
        """The record with the cost of an attempt whose end did not count, too."""
        if cost is None or attempt in record.charged:
            return record
        return await self.ledger.charge(record.uid, attempt, cost) or record

    async def _ended(self, record: Record, *, committed: bool, repeated: bool = False) -> None:
        if committed:
            self.changes.wake(record.uid)
            _ended.add(1, {"runtime": record.runtime, "state": record.state})
            log.info("ended", extra={"uid": record.uid, "state": record.state})
            self.count(record)
            await self._make_room(record)
        if committed or repeated:
            await self.send_callback(record)
        elif record.callback_due:
            # Whoever committed it is sending the callback, or has died meanwhile.
            now = self.now()
            overdue = await self.ledger.take_overdue(record.uid, now - SENDING, now)
            if overdue is not None:
                await self.send_callback(overdue)
