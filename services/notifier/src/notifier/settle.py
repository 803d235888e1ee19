"""The life of a task after it was queued: begun, moved on, ended once and told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry import metrics

from contracts.ids import Uid
from ledger.port import Ledger
from ledger.record import Progress, Record, Result
from notifier.domain import Verdict, callback_of, judge
from notifier.ports import ResultTopic

log = logging.getLogger(__name__)
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
    now: Callable[[], datetime] = _now

    async def begin(self, uid: Uid, agent: str) -> tuple[Verdict, int]:
        """Give the verdict on a delivery, and the number of the attempt."""
        record = await self.ledger.begin(uid, self.now())
        verdict = judge(record)
        if record is not None and verdict is Verdict.FINISHED:
            # An earlier delivery may have died between the commit and the callback.
            await self._tell(record)
        if record is None or verdict is not Verdict.PROCEED:
            log.info(
                "delivery needs no work", extra={"uid": uid, "verdict": verdict.name.lower()}
            )
            return verdict, 0
        _begun.add(1, {"runtime": record.runtime})
        log.info("begun", extra={"uid": uid, "attempt": record.attempt, "agent": agent})
        return verdict, record.attempt

    async def report(self, uid: Uid, attempt: int, progress: Progress) -> None:
        """Keep how far the present attempt is."""
        await self.ledger.report(uid, attempt, progress)

    async def finish(self, uid: Uid, result: Result) -> bool:
        """Commit the result and tell the world; gives whether it is the one that counts.

        The first result wins. A later one publishes nothing, but sends the winner's callback if
        that is still due.
        """
        record, committed = await self.ledger.finish(uid, result, self.now())
        if record is None:
            log.warning("finished task has no record", extra={"uid": uid})
            return False
        if committed:
            _ended.add(1, {"runtime": record.runtime, "state": record.state})
            log.info("ended", extra={"uid": uid, "state": record.state})
        await self._tell(record)
        return committed

    async def _tell(self, record: Record) -> None:
        if not record.callback_due:
            return
        await self.topic.publish(callback_of(record), record.tasktype)
        _told.add(1, {"state": record.state})
        log.info("told", extra={"uid": record.uid, "event": "notified"})
        await self.ledger.told(record.uid)
