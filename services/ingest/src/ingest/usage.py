"""What was used, in groups: the tasks that ended on some days."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from darkroom.router.v1.router_pb2 import Used
from ingest.domain import Caller
from ingest.ports import Router

LONGEST: Final = 400  # days; what is older was removed


class GroupBy(StrEnum):
    """By what the usage is told apart."""

    TENANT = "tenant"
    RUNTIME = "runtime"
    KEY = "key"


def _day(text: object) -> object:
    return text or None


Day = Annotated[date | None, BeforeValidator(_day)]


class Asked(BaseModel):
    """Which usage a client asks for; made of text, where empty means unset."""

    first: Day = Field(
        default=None, alias="from", description="The first day; the first of this month."
    )
    last: Day = Field(
        default=None, validate_default=True, alias="to", description="The last day; today."
    )
    group_by: Annotated[GroupBy, BeforeValidator(lambda text: text or GroupBy.TENANT)] = Field(
        default=GroupBy.TENANT, description="`tenant`, `runtime` or `key`."
    )

    @field_validator("last")
    @classmethod
    def _in_order(cls, last: date | None, info: ValidationInfo) -> date:
        last = last or datetime.now(UTC).date()
        first = info.data.get("first")
        if first and not 0 <= (last - first).days < LONGEST:
            raise ValueError(f"must be from the first day to {LONGEST - 1} days after it")
        return last

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day."""
        last = self.last or datetime.now(UTC).date()
        return self.first or last.replace(day=1), last


@dataclass
class Group:
    """What the tasks of one group have used."""

    name: str
    tasks: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    images: int = 0
    gpu_ms: int = 0
    cost_micros: int = 0
    currency: str = ""  # empty: no task had a price

    def add(self, used: Used) -> None:
        """Add what was used on one day."""
        self.tasks += used.tasks
        self.completed += used.completed
        self.failed += used.failed
        self.cancelled += used.cancelled
        self.images += used.images
        self.gpu_ms += used.gpu_ms
        self.cost_micros += used.cost_micros
        self.currency = self.currency or used.currency


_NAME: Final[dict[GroupBy, Callable[[Used], str]]] = {
    GroupBy.TENANT: lambda used: used.tenant,
    GroupBy.RUNTIME: lambda used: used.runtime,
    # Names of keys are of all tenants, but what came with none may be of several.
    GroupBy.KEY: lambda used: used.key,
}


def grouped(parts: Iterable[Used], by: GroupBy) -> list[Group]:
    """The sums of each group, by name."""
    groups: dict[str, Group] = {}
    for used in parts:
        name = _NAME[by](used)
        groups.setdefault(name, Group(name)).add(used)
    return [groups[name] for name in sorted(groups)]


async def find_usage(router: Router, asked: Asked, caller: Caller) -> list[Group]:
    """What the caller may see of it."""
    return grouped(await router.usage(caller, *asked.days), asked.group_by)
