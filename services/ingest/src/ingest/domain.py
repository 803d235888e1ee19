"""What ingest works on: one submission whatever its form, and tasks as clients see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from contracts.ids import Prefix, TaskId, Uid
from contracts.kinds import TaskType

CONTEXT_LIMIT_BYTES: Final = 16 * 2**10  # as compact JSON
DEFAULT_PAGE: Final = 20  # tasks
LARGEST_PAGE: Final = 100  # tasks
LONGEST_LINK: Final = 604_800  # seconds that a download link may work
LONGEST_WAIT: Final = 60  # seconds that a submission may wait for its end


class TaskState(StrEnum):
    """Where a task stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One task that was handed in; an instance that exists is valid."""

    uid: Uid
    id: TaskId
    runtime: str  # in lower case; empty means: choose by checkpoint
    tasktype: TaskType
    prefix: Prefix
    context_json: str
    content: bytes  # the runtime's own body as JSON, without routing keys
    checkpoint: str  # empty means the runtime's own
    timeout: timedelta | None = None  # of one attempt; None: as the agent has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """How a client says that a request is the same as an earlier one."""

    key: str = field(repr=False)
    fingerprint: str  # SHA-256 of what it sent, in lower-case hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Where an accepted submission went."""

    uid: str  # of an earlier submission, if an idempotency key was used again
    runtime: str
    output_location: str  # s3://bucket/prefix/id


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a task failed."""

    code: str  # stable, for programs
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running task is."""

    step: int
    total: int

    @property
    def percent(self) -> float:
        """Give 0 to 100, with one decimal place."""
        return round(min(100 * self.step / self.total, 100), 1) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One submission and what became of it; times are aware."""

    uid: str
    id: str
    runtime: str
    tasktype: str
    state: TaskState
    attempt: int
    context_json: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    output_location: str
    image_url: tuple[str, ...]
    output_url: str | None  # None before the end
    error: Failure | None
    progress: Progress | None

    @property
    def terminal(self) -> bool:
        """Tell whether nothing more can happen to it."""
        return self.state not in {TaskState.QUEUED, TaskState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A task after a change."""

    sequence: int  # numbers the changes of one task, across attempts
    state_changed: bool  # or its attempt has; otherwise only its progress has
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some tasks, newest first."""

    tasks: tuple[Task, ...]
    next_before_uid: str | None  # None after the last page


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One configured runtime."""

    name: str
    type: str
    model_filename: str | None
    dynamic_model: bool
    tasktypes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One file of the model bucket."""

    name: str
    kind: str
    size_bytes: int
    format: str
    valid: bool
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose key a request came with, and how fast it may ask; never the key itself."""

    name: str
    tenant: str
    rate_per_second: float
    burst: int
