"""The record of one submission, and what may follow what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contracts.callback import Failure
from contracts.ids import Prefix, TaskId, Uid
from contracts.kinds import TaskType
from contracts.places import OutputPlace


class State(StrEnum):
    """Where a task stands; the last three are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = frozenset({State.QUEUED, State.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the present attempt is."""

    step: int
    total: int  # at least 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an attempt came to; `error` is None if it is completed."""

    image_url: tuple[str, ...]
    output_url: str
    error: Failure | None = None

    @property
    def state(self) -> State:
        """Give the terminal state that this result leads to."""
        return State.COMPLETED if self.error is None else State.FAILED


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
    state: State = State.QUEUED
    attempt: int = 0  # how often an agent has begun it
    started_at: datetime | None = None  # of the present attempt
    finished_at: datetime | None = None
    image_url: tuple[str, ...] = ()
    output_url: str | None = None
    error: Failure | None = None
    progress: Progress | None = None
    callback_due: bool = False  # committed, but not known to be told: the outbox

    @property
    def terminal(self) -> bool:
        """Tell whether nothing more can happen to it."""
        return self.state not in OPEN

    @property
    def place(self) -> OutputPlace:
        """Give the folder of its files."""
        return OutputPlace(bucket=self.bucket, prefix=self.prefix, id=self.id, uid=self.uid)
