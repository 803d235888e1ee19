"""In-memory stand-ins for what the notifier needs, and records to settle."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from contracts.callback import Callback, Failure
from contracts.ids import Prefix, TaskId, Uid
from contracts.kinds import TaskType
from ledger.memory import MemoryLedger
from ledger.open_tasks_memory import MemoryOpenTasks
from ledger.record import Record, Result
from notifier.changes import Changes
from notifier.progress_limiter import ProgressLimiter
from notifier.settle import Settle
from notifier.watch import Watch
from servicekit.errors import TransientError

# In the future, or the emulator removes what has expired.
NOW = datetime(2126, 1, 2, 3, 4, 5, tzinfo=UTC)
NEVER = timedelta(days=1)
UID = Uid("01JD0000000000000000000000")
RECORD = Record(
    uid=UID,
    id=TaskId("test-t2i"),
    tenant="studio",
    runtime="sdruntime",
    tasktype=TaskType.TEXT_TO_IMAGE,
    bucket="outputbucket",
    prefix=Prefix("output"),
    context_json='{"abc": 123}',
    created_at=NOW,
)
DONE = Result(
    image_url=("s3://outputbucket/output/test-t2i/test-t2i-1a2b-1.png",),
    output_url="s3://outputbucket/output/test-t2i/test-t2i-1a2b.out",
)
FAILED = Result(
    image_url=(),
    output_url="s3://outputbucket/output/test-t2i/test-t2i-1a2b.out",
    error=Failure(code="runtime_error", message="no such sampler", retryable=False),
)


def numbered(number: int) -> Result:
    """A result that differs from those of other numbers."""
    return replace(DONE, output_url=f"s3://outputbucket/{number}.out")


@dataclass
class FakeResultTopic:
    """Keeps what was published, or is down."""

    published: list[tuple[Callback, TaskType]] = field(default_factory=list)
    down: bool = False
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    accepted: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, callback: Callback, tasktype: TaskType) -> None:
        if self.down:
            self.refused.set()
            raise TransientError("SNS is down")
        await asyncio.sleep(0)  # others get their turn here, as with a real topic
        self.published.append((callback, tasktype))
        self.accepted.set()


@dataclass
class FakeAnnouncer:
    """Keeps whose end was announced, or is down."""

    announced: list[Uid] = field(default_factory=list)
    down: bool = False

    async def announce(self, record: Record) -> None:
        if self.down:
            raise TransientError("SQS is down")
        self.announced.append(record.uid)


@dataclass
class World:
    """The use case with fakes around it, and one queued task."""

    ledger: MemoryLedger = field(default_factory=lambda: MemoryLedger({UID: RECORD}))
    open_tasks: MemoryOpenTasks = field(default_factory=MemoryOpenTasks)
    topic: FakeResultTopic = field(default_factory=FakeResultTopic)
    webhooks: FakeAnnouncer = field(default_factory=FakeAnnouncer)
    changes: Changes = field(default_factory=Changes)
    limiter: ProgressLimiter = field(
        default_factory=lambda: ProgressLimiter(timedelta(seconds=1))
    )
    counted: list[Record] = field(default_factory=list)
    now: datetime = NOW

    @property
    def settle(self) -> Settle:
        return Settle(
            ledger=self.ledger,
            open_tasks=self.open_tasks,
            topic=self.topic,
            webhooks=self.webhooks,
            changes=self.changes,
            limiter=self.limiter,
            count=self.counted.append,
            now=lambda: self.now,
        )

    def watch(self, poll: timedelta = NEVER, limit: int = 10) -> Watch:
        """The use case; without a poll it sees only what this process changes."""
        return Watch(ledger=self.ledger, changes=self.changes, poll=poll, limit=limit)

    @property
    def callbacks(self) -> list[Callback]:
        return [callback for callback, _ in self.topic.published]

    @property
    def record(self) -> Record:
        return self.ledger.records[UID]
