"""The answers for operators, field for field."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from pydantic import Field

from contracts.cost import amount
from darkroom.router.v1.operators_pb2 import Ended, GetOverviewResponse
from darkroom.router.v1.operators_pb2 import RuntimeOverview as Overview
from ingest.http.views import MoneyView, Time, View


class LastHour(View):
    """What ended in the last 60 minutes, about."""

    completed: int
    failed: int
    cancelled: int
    images: int
    gpu_seconds: float
    minutes: list[int] = Field(description="Tasks that ended in each, oldest first.")


class Today(View):
    """What ended today, in UTC."""

    tasks: int
    images: int
    gpu_seconds: float
    cost: MoneyView | None = Field(description="Null if no task had a price.")


class RuntimeOverview(View):
    """How one runtime does; null is what is unknown, or for operators only."""

    name: str
    type: str = Field(description="`sdwebui`, `comfyui` or `invokeai`")
    queued: int | None = Field(description="Tasks that wait in its queue, about.")
    running: int | None = Field(description="Tasks that its agents have, about.")
    oldest_wait_seconds: float | None = Field(
        description="How long the oldest task waits, at least."
    )
    dead_letters: int | None = Field(description="Messages that were parked, about.")
    last_hour: LastHour
    today: Today

    @classmethod
    def of(cls, told: Overview) -> RuntimeOverview:
        """The view of one runtime."""
        hour = told.last_hour
        return cls(
            name=told.runtime.name,
            type=told.runtime.type,
            queued=_known(told, "queued"),
            running=_known(told, "running"),
            oldest_wait_seconds=_known(told, "oldest_wait_seconds"),
            dead_letters=_known(told, "dead_letters"),
            last_hour=LastHour(
                completed=hour.completed,
                failed=hour.failed,
                cancelled=hour.cancelled,
                images=hour.images,
                gpu_seconds=hour.gpu_ms / 1000,
                minutes=list(told.minutes),
            ),
            today=_today(told.today),
        )


class OverviewView(View):
    """How the runtimes do, for the tasks of a tenant or, with scope `admin`, for all."""

    at: Time
    runtimes: list[RuntimeOverview]
    webhook_dead_letters: int | None = Field(description="Messages that no webhook took.")

    @classmethod
    def of(cls, told: GetOverviewResponse) -> OverviewView:
        """The view of all runtimes."""
        return cls(
            at=told.at.ToDatetime(UTC),
            runtimes=[RuntimeOverview.of(each) for each in told.runtimes],
            webhook_dead_letters=_known(told, "webhook_dead_letters"),
        )


def _today(told: Ended) -> Today:
    money = MoneyView(currency=told.currency, amount=amount(told.cost_micros))
    return Today(
        tasks=told.tasks,
        images=told.images,
        gpu_seconds=told.gpu_ms / 1000,
        cost=money if told.currency else None,
    )


def _known(told: Any, field: str) -> Any:
    return getattr(told, field) if told.HasField(field) else None
