"""The record of one submission, and what may follow what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from contracts.callback import Failure
from contracts.cost import Cost
from contracts.ids import Prefix, TaskId, Uid
from contracts.kinds import Extra, TaskType
from contracts.places import OutputPlace
from contracts.state import OPEN, Progress, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a task came to: completed, unless it has an error or was cancelled."""

    image_url: tuple[str, ...] = ()
    output_url: str | None = None  # None only if no attempt wrote one
    error: Failure | None = None
    cancelled: bool = False
    warnings: tuple[str, ...] = ()  # what the runtime did otherwise than it was asked
    started_at: datetime | None = None  # when the runtime began with it; None if it did not
    attempt: int = 0  # whose `cost` it is
    cost: Cost | None = None  # None: unknown

    @property
    def state(self) -> TaskState:
        """The terminal state that this result leads to."""
        if self.cancelled:
            return TaskState.CANCELLED
        return TaskState.COMPLETED if self.error is None else TaskState.FAILED


CANCELLED = Result(cancelled=True)
POISONED: Final = "poisoned"  # code of the error of a task that was given up
DIRECT: Final = "direct"  # the tenant of tasks that were published past ingest


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One submission as the ledger has it."""

    uid: Uid
    id: TaskId
    tenant: str
    runtime: str
    tasktype: TaskType
    bucket: str
    prefix: Prefix
    context_json: str
    created_at: datetime
    key: str = ""  # the name of the API key that it came with; empty if it came with none
    state: TaskState = TaskState.QUEUED  # running: an agent has it
    attempt: int = 0  # how often an agent has begun it
    started_at: datetime | None = None  # when the runtime began with the present attempt
    finished_at: datetime | None = None
    image_url: tuple[str, ...] = ()
    output_url: str | None = None
    error: Failure | None = None
    warnings: tuple[str, ...] = ()
    progress: Progress | None = None
    callback_due: bool = False  # committed, but not known to be told: the outbox
    sequence: int = 1  # numbers the changes that clients may see, across attempts
    cancel_requested: bool = False
    receives: int = 0  # how often the queue had handed it over at the last begin; 0: unknown
    released_attempt: int = 0  # the last attempt that ended without a result and said so
    failures: int = 0  # attempts that the platform failed: lost, or released as not interrupted
    interruptions: int = 0  # attempts that were released as interrupted
    counted: bool = False  # whether it is one of the open tasks that its key may have
    # Whether a second call has the same submission in hand, and may have been answered with it.
    adopted: bool = field(default=False, compare=False)
    last_reason: str = ""  # why the last attempt ended without a result, for operators
    include: tuple[Extra, ...] = ()  # what the callback has besides
    callback_url: str = field(default="", repr=False)  # where its end is told, too
    charged: tuple[int, ...] = ()  # the attempts that the rest sums up
    gpu_ms: int = 0
    cost_micros: int | None = None  # None: no attempt knew its price
    currency: str = ""
    node_type: str = ""  # of the last attempt that told it, as the next
    capacity: str = ""

    @property
    def terminal(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.state not in OPEN

    @property
    def begun(self) -> bool:
        """Whether an agent has begun it, or it has ended without one."""
        return self.state is not TaskState.QUEUED or self.attempt > 0

    @property
    def state_for_clients(self) -> TaskState:
        """Where it stands for clients: what its agent has but not its runtime is queued."""
        staged = self.state is TaskState.RUNNING and self.started_at is None
        return TaskState.QUEUED if staged else self.state

    @property
    def poisoned(self) -> bool:
        """Whether it was given up, so that its message belongs to the dead letters."""
        return self.error is not None and self.error.code == POISONED

    @property
    def cost(self) -> Cost | None:
        """What its attempts have cost; None if none has told."""
        if not self.charged:
            return None
        return Cost(
            gpu_ms=self.gpu_ms,
            micros=self.cost_micros,
            currency=self.currency,
            node_type=self.node_type,
            capacity=self.capacity,
        )

    @property
    def place(self) -> OutputPlace:
        """The folder of its files."""
        return OutputPlace(bucket=self.bucket, prefix=self.prefix, id=self.id, uid=self.uid)
