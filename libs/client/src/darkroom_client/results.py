"""What the API answers, as frozen values; fields that are not known here are left out.

Only what names a thing is required: an older server knows fewer fields, a newer one more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """An answer of the server; `raw` has it as it came."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    _raw: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def raw(self) -> Mapping[str, Any]:
        """The whole answer, with fields of a newer server."""
        return self._raw

    @model_validator(mode="wrap")
    @classmethod
    def _kept(cls, raw: Any, read: ModelWrapValidatorHandler[R]) -> R:
        record = read(raw)
        if isinstance(raw, Mapping):
            record._raw = raw
        return record


class Failure(Record):
    """Why a task failed."""

    code: str
    message: str
    retryable: bool = False


class Progress(Record):
    """How far a running task is."""

    step: int
    total: int
    percent: float


class Cost(Record):
    """What a task has used, and what that costs."""

    gpu_seconds: float
    currency: str | None = None
    amount: Decimal | None = None
    node_type: str | None = None
    capacity: str | None = None


class Task(Record):
    """One submission and what became of it."""

    uid: str
    state: str
    id: str = ""
    runtime: str = ""
    tasktype: str = ""
    attempt: int = 0
    context: Any = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output_location: str = ""
    image_url: tuple[str, ...] = ()
    output_url: str | None = None
    error: Failure | None = None
    progress: Progress | None = None
    warnings: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    tenant: str | None = None
    key: str | None = None
    cost: Cost | None = None

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.state in TERMINAL


class Accepted(Record):
    """A task was recorded and queued."""

    uid: str
    id: str = ""
    runtime: str = ""
    output_location: str = ""
    task: Task | None = Field(
        default=None, description="There if it has ended while the call waited."
    )


class Runtime(Record):
    """What tasks can be sent to."""

    name: str
    type: str
    model_filename: str | None = None
    dynamic_model: bool = False
    tasktypes: tuple[str, ...] = ()


class Model(Record):
    """One file of the model bucket."""

    name: str
    kind: str
    bytes: int
    format: str = ""
    valid: bool = True
    problem: str | None = None


class Money(Record):
    """An amount of a currency."""

    currency: str
    amount: Decimal


class UsageGroup(Record):
    """What one tenant, runtime or key has used."""

    name: str
    tasks: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    images: int = 0
    gpu_seconds: float = 0
    cost: Money | None = None


class Usage(Record):
    """What was used from one day to another, in groups."""

    from_: date = Field(alias="from")
    to: date
    group_by: str
    groups: tuple[UsageGroup, ...] = ()


class LastHour(Record):
    """What ended in the last 60 minutes, about."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    images: int = 0
    gpu_seconds: float = 0
    minutes: tuple[int, ...] = Field(default=(), description="Tasks in each, oldest first.")


class Today(Record):
    """What ended today, in UTC."""

    tasks: int = 0
    images: int = 0
    gpu_seconds: float = 0
    cost: Money | None = None


class RuntimeOverview(Record):
    """How one runtime does; None is what is unknown, or for operators only."""

    name: str
    type: str
    queued: int | None = None
    running: int | None = None
    oldest_wait_seconds: float | None = Field(default=None, description="At least.")
    dead_letters: int | None = None
    last_hour: LastHour = LastHour()
    today: Today = Today()


class Overview(Record):
    """How the runtimes did at a time."""

    at: datetime
    runtimes: tuple[RuntimeOverview, ...] = ()
    webhook_dead_letters: int | None = None


class DeadLetter(Record):
    """A message that was parked."""

    message_id: str
    runtime: str = Field(default="", description="Whose queue; `webhooks` for theirs.")
    uid: str | None = None
    id: str | None = None
    since: datetime | None = None
    reason: str | None = None
    body: str = Field(default="", repr=False, description="Its first 8 KiB.")


class DeadLetterResult(Record):
    """What became of a message: `redriven`, `purged`, `kept` or `not_found`."""

    message_id: str
    outcome: str
    uid: str | None = Field(default=None, description="The task that is done after all.")
    reason: str | None = Field(default=None, description="Why it is kept.")


class TasksPage(Record):
    """Some tasks, newest first; `cursor` asks for those that follow, None after the last."""

    tasks: tuple[Task, ...]
    cursor: str | None = None


class Webhook(Record):
    """Where a tenant is told of the end of its tasks."""

    id: str
    url: str = ""
    tenant: str = ""
    events: tuple[str, ...] = ()
    runtime: str | None = Field(default=None, description="None: of all.")
    state: str = ""
    created_at: datetime | None = None
    secret: str | None = Field(
        default=None, repr=False, description="Of a new one; it is told this once."
    )


class NewSecret(Record):
    """A secret that replaces another, which is good until `old_until` as well."""

    secret: str = Field(repr=False)
    old_until: datetime


class Replay(Record):
    """Of which time events will be sent again; `until` None means the moment of the call."""

    since: datetime
    until: datetime | None = None


class Delivery(Record):
    """What became of one event of a webhook."""

    uid: str
    event: str
    state: str
    tries: int = 0
    status: int | None = None
    error: str | None = None
    tried_at: datetime | None = None
    next_try_at: datetime | None = None


class StateEvent(Record):
    """A task has changed its state."""

    task: Task


class ProgressEvent(Record):
    """An attempt of a task has come further."""

    uid: str
    attempt: int
    step: int
    total: int
    percent: float


class Callback(Record):
    """The end of a task, as the result topic and webhooks tell it."""

    uid: str
    id: str
    result: bool
    status: str
    runtime: str = ""
    image_url: tuple[str, ...] = ()
    output_url: str | None = None
    context: Any = None
    error: Failure | None = None
    warnings: tuple[str, ...] = ()
    cost: Cost | None = None
