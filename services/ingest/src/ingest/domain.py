"""What ingest works on: one submission whatever its form, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from contracts.cost import Cost
from contracts.ids import Prefix, TaskId, Uid
from contracts.keys import KeyScope, Quota
from contracts.kinds import Extra, Previews, TaskType
from contracts.state import OPEN
from darkroom.task.v1.task_pb2 import TaskProgress, TaskRecord

CONTEXT_LIMIT_BYTES: Final = 16 * 2**10  # as compact JSON
DEFAULT_PAGE: Final = 20  # tasks
LARGEST_PAGE: Final = 100  # tasks
LONGEST_LINK: Final = 604_800  # seconds that a download link may work
LONGEST_WAIT: Final = 60  # seconds that a submission may wait for its end


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
    inputs: tuple[str, ...] | None = None  # the files of the content; None: as the agent has it
    previews: Previews | None = None  # None: they are no results
    include: tuple[Extra, ...] = ()  # what the callback has besides
    callback_url: str = field(default="", repr=False)  # where its end is told, too


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
class Change:
    """A task after a change."""

    sequence: int  # numbers the changes of one task, across attempts
    task: TaskRecord
    state_changed: bool = True  # or its attempt has; otherwise only its progress has


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose key a request came with, and what it may; never the key itself."""

    name: str
    tenant: str
    rate_per_second: float
    burst: int
    scope: KeyScope = KeyScope.SUBMIT
    quota: Quota = field(default_factory=Quota)
    expires_at: datetime | None = None  # None: never
    # The rate of the key itself, of all replicas together.
    key_rate_per_second: float = field(default=0, compare=False)
    key_burst: int = field(default=0, compare=False)


def is_terminal(task: TaskRecord) -> bool:
    """Whether nothing more can happen to a task."""
    return task.state not in OPEN


def cost_of(task: TaskRecord) -> Cost | None:
    """What a task has cost; None if it is unknown."""
    if not task.HasField("cost"):
        return None
    cost = task.cost
    return Cost(
        gpu_ms=cost.gpu_ms,
        micros=cost.amount_micros if cost.HasField("amount_micros") else None,
        currency=cost.currency,
        node_type=cost.node_type,
        capacity=cost.capacity,
    )


def percent(progress: TaskProgress) -> float:
    """How far a task is: 0 to 100, with one decimal place."""
    step, total = progress.step, progress.total
    return round(min(100 * step / total, 100), 1) if total > 0 else 0.0
