"""The answers for operators, field for field."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from pydantic import Field

from contracts.cost import amount
from darkroom.router.v1.operators_pb2 import (
    DeadLetter,
    DeadLetterResult,
    Ended,
    GetOverviewResponse,
)
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


class DeadLetterView(View):
    """One message that was parked."""

    message_id: str = Field(description="As SQS names it.")
    runtime: str = Field(description="Whose queue has parked it; `webhooks` for theirs.")
    uid: str | None = Field(description="The task that it is about; null if about none.")
    id: str | None = Field(description="The client's id of that task.")
    since: Time = Field(description="When it was sent.")
    reason: str | None = Field(description="Why it ended there.")
    body: str = Field(description="Its first 8 KiB.")

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadLetterView:
        """The view of one message."""
        return cls(
            message_id=letter.message_id,
            runtime=letter.runtime,
            uid=letter.uid or None,
            id=letter.id or None,
            since=letter.since.ToDatetime(UTC),
            reason=letter.reason or None,
            body=letter.body,
        )


class DeadLettersView(View):
    """What was parked, newest first."""

    dead_letters: list[DeadLetterView]

    @classmethod
    def of(cls, letters: Sequence[DeadLetter]) -> DeadLettersView:
        """The view of all of them."""
        return cls(dead_letters=[DeadLetterView.of(letter) for letter in letters])


class DeadLetterResultView(View):
    """What became of one message."""

    message_id: str
    outcome: str = Field(description="`redriven`, `purged`, `kept` or `not_found`")
    uid: str | None = Field(
        description="The task that is done after all: a new one if the former had ended."
    )
    reason: str | None = Field(description="Why it is kept.")


class DeadLetterResultsView(View):
    """What became of each message."""

    results: list[DeadLetterResultView]

    @classmethod
    def of(cls, results: Sequence[DeadLetterResult]) -> DeadLetterResultsView:
        """The view of all of them."""
        return cls(
            results=[
                DeadLetterResultView(
                    message_id=each.message_id,
                    outcome=each.outcome,
                    uid=each.uid or None,
                    reason=each.reason or None,
                )
                for each in results
            ]
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
