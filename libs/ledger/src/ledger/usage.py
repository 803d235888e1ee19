"""What the tasks of each key have used, day by day: each task is counted once.

The counts are small items beside the task records; the table's TTL removes them. They are found
by the index of tenants, under a name that no tenant has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Protocol

from contracts.state import TaskState
from ledger.record import Record

KEPT: Final = timedelta(days=400)
LISTED: Final = "#usage"
# One item takes about 100 counts a second before transactions get into each other's way.
SHARDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much it was."""

    tasks: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    images: int = 0
    gpu_ms: int = 0
    cost_micros: int = 0  # of what had a price

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            **{
                each.name: getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the tasks of one key and runtime that ended on one day (UTC) have used."""

    tenant: str
    key: str  # empty: they were published past ingest
    runtime: str
    day: date
    counts: Counts
    currency: str = ""  # empty: nothing had a price


class Usage(Protocol):
    """Reads what was used; raises `TransientError` when it cannot be reached."""

    async def used(
        self, first: date, last: date, *, tenant: str = "", key: str = ""
    ) -> tuple[Used, ...]:
        """What was used on these days, of one tenant or of one of its keys; empty: of all.

        What has just ended may be missing for a moment.
        """
        ...


def counts_of(record: Record) -> Counts:
    """What one ended task adds."""
    return Counts(
        tasks=1,
        completed=record.state is TaskState.COMPLETED,
        failed=record.state is TaskState.FAILED,
        cancelled=record.state is TaskState.CANCELLED,
        images=len(record.image_url),
        gpu_ms=record.gpu_ms,
        cost_micros=record.cost_micros or 0,
    )


def used_by(record: Record) -> Used:
    """What one ended task has used."""
    ended = record.finished_at or record.created_at
    return Used(
        tenant=record.tenant,
        key=record.key,
        runtime=record.runtime,
        day=ended.astimezone(UTC).date(),
        counts=counts_of(record),
        currency=record.currency,
    )


def summed(parts: Iterable[Used]) -> tuple[Used, ...]:
    """One for each tenant, key, runtime and day, in this order."""
    sums: dict[tuple[str, str, str, date], Used] = {}
    for one in parts:
        where = one.tenant, one.key, one.runtime, one.day
        former = sums.get(where, replace(one, counts=Counts()))
        sums[where] = replace(
            former,
            counts=former.counts + one.counts,
            currency=former.currency or one.currency,
        )
    return tuple(used for _, used in sorted(sums.items()))


def prefix_of(tenant: str, key: str) -> str:
    """What the uids of the items of a tenant or a key begin with."""
    if not tenant:
        return "usage#"
    return f"usage#{tenant}#{key}#" if key else f"usage#{tenant}#"


def uid_of(record: Record) -> str:
    """The uid of the item that counts a record."""
    used, shard = used_by(record), ord(record.uid[-1]) % SHARDS
    prefix = prefix_of(used.tenant, "")
    return f"{prefix}{used.key}#{used.day.isoformat()}#{used.runtime}#{shard}"


def day_of(uid: str) -> date:
    """The day that an item counts."""
    return date.fromisoformat(uid.split("#")[3])


def to_used(item: Mapping[str, Any]) -> Used:
    """What an item has counted."""
    _, tenant, key, day, runtime, _ = item["uid"]["S"].split("#")
    return Used(
        tenant=tenant,
        key=key,
        runtime=runtime,
        day=date.fromisoformat(day),
        counts=Counts(
            **{each.name: int(item.get(each.name, {"N": "0"})["N"]) for each in fields(Counts)}
        ),
        currency=item.get("currency", {"S": ""})["S"],
    )


def counting(record: Record, now: datetime) -> dict[str, Any]:
    """The update that counts a record, for a transaction; without the table."""
    counted = counts_of(record)
    added = {e.name: getattr(counted, e.name) for e in fields(counted)}
    values = {f":{name}": {"N": str(int(number))} for name, number in added.items() if number}
    priced = ", currency = :currency" if record.currency else ""
    return {
        "Key": {"uid": {"S": uid_of(record)}},
        "UpdateExpression": f"SET tenant = :listed, expires_at = :end{priced} ADD "
        + ", ".join(f"{name[1:]} {name}" for name in values),
        "ExpressionAttributeValues": {
            **values,
            ":listed": {"S": LISTED},
            ":end": {"N": str(int((now + KEPT).timestamp()))},
            **({":currency": {"S": record.currency}} if record.currency else {}),
        },
    }
