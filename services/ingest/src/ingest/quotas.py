"""The keys that there are, and how much of its quotas each has used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from contracts.cost import amount
from contracts.keys import Quota
from darkroom.router.v1.operators_pb2 import QuotaUse
from ingest.domain import Caller
from ingest.keys import Gate
from ingest.ports import Operators

MOST: Final = 1000  # keys


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaState:
    """One quota of one key."""

    quota: str
    limit: str
    used: str
    resets_at: datetime | None  # None: when tasks end


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """One key; never its hash."""

    caller: Caller
    quotas: tuple[QuotaState, ...]


async def find_keys(gate: Gate, operators: Operators, caller: Caller) -> list[KnownKey]:
    """The keys of all tenants, by tenant and name; the first thousand of them.

    Raises `TransientError` if what they have used cannot be told.
    """
    known = gate.callers()[:MOST]
    bounded = [each for each in known if each.quota != Quota()]
    uses = await operators.quota_use(caller, bounded) if bounded else ()
    # While a key is replaced, both have one name and what is used is of both.
    used = {each.name: use for each, use in zip(bounded, uses, strict=True)}
    today = datetime.now(UTC).date()
    return [
        KnownKey(
            caller=each,
            quotas=_states(each.quota, used.get(each.name, QuotaUse()), today),
        )
        for each in known
    ]


def _states(quota: Quota, use: QuotaUse, today: date) -> tuple[QuotaState, ...]:
    tomorrow = today + timedelta(days=1)
    next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    found: list[tuple[str, int | Decimal | None, str, date | None]] = [
        ("open_tasks", quota.open_tasks, str(use.open_tasks), None),
        ("daily_images", quota.daily_images, str(use.images), tomorrow),
        ("monthly_budget", quota.monthly_budget, amount(use.cost_micros), next_month),
    ]
    return tuple(
        QuotaState(
            quota=name,
            limit=str(limit),
            used=used,
            resets_at=None if day is None else datetime.combine(day, time(), UTC),
        )
        for name, limit, used, day in found
        if limit is not None
    )
