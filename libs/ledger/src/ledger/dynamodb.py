"""`Ledger` on Amazon DynamoDB: one item a submission, four indexes, removal after 30 days."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from awsio.errors import CONFLICT, ConditionFailedError, translated
from contracts.cost import Cost
from contracts.ids import Uid
from contracts.state import Progress
from ledger import transitions
from ledger.dynamodb_reads import DynamoDbReads
from ledger.expressions import (
    COMMON,
    NAMES,
    NEXT,
    NO,
    OPEN,
    QUEUED,
    RUNS,
    STAGED,
    UNCHARGED,
    YES,
    charging,
    finishing,
    mentioned,
)
from ledger.items import (
    DUE_SINCE,
    to_item,
    to_record,
    write_progress,
    write_time,
)
from ledger.record import CANCELLED, Record, Result
from ledger.transitions import DEFAULT_LIMITS, REASON_CHARACTERS, Limits
from ledger.usage import counting
from servicekit.errors import TransientError

# Of a transaction whose items others write at the same time.
_TRIES: Final = 8
_PAUSE: Final = 0.01, 0.2  # seconds between two of them


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbLedger(DynamoDbReads):
    """The whole ledger; what it reads is in `DynamoDbReads`."""

    async def create(self, record: Record) -> Record:
        while True:
            try:
                with translated("dynamodb.put_item"):
                    await self.client.put_item(
                        TableName=self.table,
                        Item=to_item(record),
                        ConditionExpression="attribute_not_exists(uid)",
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
            except ConditionFailedError as found:
                kept = to_record(found.item or {})
            else:
                return record
            # The SDK tries again when an answer is lost, and then finds its own.
            if kept == record or kept.begun:
                return kept
            adopted, _ = await self._try(
                record.uid, "SET adopted = :yes", "attribute_exists(uid)", {":yes": YES}
            )
            if adopted is not None:
                return adopted

    async def withdraw(self, uid: Uid) -> bool:
        return await self._delete(uid, " AND attribute_not_exists(adopted)")

    async def discard(self, uid: Uid) -> bool:
        return await self._delete(uid)

    async def _delete(self, uid: Uid, further: str = "") -> bool:
        queued = f"#state = :queued AND attempt = :none{further}"
        try:
            with translated("dynamodb.delete_item"):
                await self.client.delete_item(
                    TableName=self.table,
                    Key={"uid": {"S": uid}},
                    ConditionExpression=f"attribute_not_exists(uid) OR ({queued})",
                    ExpressionAttributeNames={"#state": "state"},
                    ExpressionAttributeValues={":queued": {"S": "queued"}, ":none": {"N": "0"}},
                )
        except ConditionFailedError:
            return False
        return True

    async def begin(
        self,
        uid: Uid,
        now: datetime,
        receives: int = 0,
        *,
        limits: Limits = DEFAULT_LIMITS,
        staged: bool = False,
    ) -> Record | None:
        if receives < limits.receives:
            started = "" if staged else "started_at = :now, "
            record, begun = await self._try(
                uid,
                f"SET #state = :running, {started}receives = :receives, {NEXT} "
                "ADD attempt :one REMOVE progress",
                "#state = :queued AND #cancel = :no AND failures < :failures",
                {
                    ":now": {"S": write_time(now)},
                    ":no": NO,
                    ":receives": {"N": str(receives)},
                    ":failures": {"N": str(limits.failures)},
                },
            )
        else:
            record, begun = await self.get(uid), False
        # It was not the usual case: decide here, and write on condition that nothing changed.
        while record is not None and not record.terminal and not begun:
            following = transitions.begin(record, now, receives, limits, staged=staged)
            record, begun = await self._swap(record, following)
        return record

    async def start(self, uid: Uid, attempt: int, started_at: datetime) -> Record | None:
        record, _ = await self._try(
            uid,
            f"SET started_at = :started, {NEXT}",
            f"{RUNS} AND {STAGED}",
            {":started": {"S": write_time(started_at)}, ":attempt": {"N": str(attempt)}},
        )
        return record

    async def report(self, uid: Uid, attempt: int, progress: Progress) -> Record | None:
        values = {":progress": write_progress(progress), ":attempt": {"N": str(attempt)}}
        record, _ = await self._try(uid, f"SET progress = :progress, {NEXT}", RUNS, values)
        return record

    async def release(
        self,
        uid: Uid,
        attempt: int,
        *,
        interrupted: bool,
        reason: str,
        cost: Cost | None = None,
    ) -> Record | None:
        counted = "interruptions" if interrupted else "failures"
        record, _ = await self._try_charging(
            uid,
            "SET #state = :queued, released_attempt = :attempt, last_reason = :reason, "
            f"{NEXT} ADD {counted} :one REMOVE progress, started_at",
            RUNS,
            {":attempt": {"N": str(attempt)}, ":reason": {"S": reason[:REASON_CHARACTERS]}},
            attempt=attempt,
            cost=cost,
        )
        return record

    async def charge(self, uid: Uid, attempt: int, cost: Cost) -> Record | None:
        sets, values = charging(attempt, cost)
        record, _ = await self._try(
            uid, f"SET {sets}", f"attribute_exists(uid) AND {UNCHARGED}", values
        )
        return record

    async def mark_cancelled(self, uid: Uid) -> Record | None:
        record, _ = await self._try(
            uid,
            f"SET #cancel = :yes, {NEXT}",
            f"{OPEN} AND (attribute_not_exists(#cancel) OR #cancel <> :yes)",
            {":yes": YES},
        )
        return record

    async def settle_cancel(self, uid: Uid, now: datetime) -> tuple[Record | None, bool]:
        change, values = finishing(CANCELLED, now)
        return await self._try(uid, change, f"{QUEUED} AND #cancel = :yes", values)

    async def finish(
        self, uid: Uid, result: Result, now: datetime
    ) -> tuple[Record | None, bool]:
        change, values = finishing(result, now)
        return await self._try_charging(
            uid, change, OPEN, values, attempt=result.attempt, cost=result.cost
        )

    async def mark_callback_sent(self, record: Record, now: datetime) -> None:
        if not record.callback_due:
            return
        told: Any = {
            "Key": {"uid": {"S": record.uid}},
            "UpdateExpression": "SET callback_due = :no REMOVE #due",
            "ConditionExpression": "callback_due = :yes",
            "ExpressionAttributeNames": {"#due": DUE_SINCE},
            "ExpressionAttributeValues": {":yes": YES, ":no": NO},
        }
        updates = [told, counting(record, now)]
        items: Any = [{"Update": {"TableName": self.table, **update}} for update in updates]
        for tries_left in reversed(range(_TRIES)):
            try:
                with translated("dynamodb.transact_write_items"):
                    await self.client.transact_write_items(TransactItems=items)
            except ConditionFailedError:
                return  # it was told before, and counted then
            except TransientError as error:
                # Others count in the same item.
                if error.details.get("code") != CONFLICT or not tries_left:
                    raise
                await asyncio.sleep(random.uniform(*_PAUSE))  # noqa: S311  # no secret
            else:
                return

    async def take_overdue(self, uid: Uid, before: datetime, now: datetime) -> Record | None:
        record, taken = await self._try(
            uid,
            "SET #due = :now",
            "#due < :before",
            {":now": {"S": write_time(now)}, ":before": {"S": write_time(before)}},
        )
        return record if taken else None

    async def _try_charging(
        self,
        uid: Uid,
        change: str,
        condition: str,
        values: Mapping[str, Any],
        *,
        attempt: int,
        cost: Cost | None,
    ) -> tuple[Record | None, bool]:
        """Do as `_try` with a change that begins with SET, and count the cost if it is not."""
        if cost is not None:
            sets, more = charging(attempt, cost)
            record, done = await self._try(
                uid,
                f"SET {sets}, {change.removeprefix('SET ')}",
                f"({condition}) AND {UNCHARGED}",
                {**values, **more},
            )
            if done or record is None or attempt not in record.charged:
                return record, done
        return await self._try(uid, change, condition, values)

    async def _swap(self, old: Record, new: Record) -> tuple[Record | None, bool]:
        """Store `new` if the ledger still has `old`; else give what it has."""
        before, after = to_item(old), to_item(new)
        values = {f":{name}": after[name] for name in after if after[name] != before.get(name)}
        sets = ", ".join(f"#{name[1:]} = {name}" for name in values)
        gone = ", ".join(f"#{name}" for name in before if name not in after)
        return await self._try(
            old.uid,
            f"SET {sets}" + (f" REMOVE {gone}" if gone else ""),
            # An item of an older release has no sequence.
            "attribute_exists(uid) AND (attribute_not_exists(#sequence) OR #sequence = :seen)",
            {**values, ":seen": before["sequence"]},
            {f"#{name}": name for name in {*before, *after}},
        )

    async def _try(
        self,
        uid: Uid,
        change: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] = NAMES,
    ) -> tuple[Record | None, bool]:
        """The record after the change and True, or as it is if the condition fails."""
        text = f"{change} {condition}"
        used = mentioned(names, text)
        extra: dict[str, Any] = {"ExpressionAttributeNames": used} if used else {}
        try:
            with translated("dynamodb.update_item"):
                answer = await self.client.update_item(
                    TableName=self.table,
                    Key={"uid": {"S": uid}},
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=mentioned({**COMMON, **values}, text),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **extra,
                )
        except ConditionFailedError as found:
            return (to_record(found.item) if found.item else None), False
        return to_record(answer["Attributes"]), True
