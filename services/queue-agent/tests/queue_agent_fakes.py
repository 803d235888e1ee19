"""In-memory stand-ins; the contract suites hold them to the rules of the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.cost import Cost
from contracts.ids import Uid, new_uid
from contracts.message import TaskMessage
from contracts.state import Progress
from contracts.verdict import Verdict
from queue_agent.domain import (
    Begun,
    Delivery,
    File,
    Generated,
    Incoming,
    InputUnavailableError,
    Job,
    LeaseLostError,
    Leftovers,
    RuntimeLostError,
    Stored,
    Task,
    TaskFailedError,
)
from queue_agent.files.body import Body, open_body
from queue_agent.pipeline.delivery_state import DeliveryState
from queue_agent.pipeline.slots import Slots
from queue_agent.ports import (
    PodMark,
    ReleaseEarly,
    Report,
    Started,
    Take,
    no_one_asks,
    no_one_waits,
)
from servicekit.errors import TransientError

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32


def message(**changes: Any) -> TaskMessage:
    fields: dict[str, Any] = {
        "uid": new_uid(),
        "id": "test-1",
        "runtime": "sdruntime",
        "tasktype": "text-to-image",
        "prefix": "output",
        "bucket": "bucket",
        "accepted_at": datetime.now(UTC),
        "content": {"prompt": "a dog"},
    }
    return TaskMessage.model_validate({**fields, **changes})


def whole(body: Body) -> bytes:
    with open_body(body) as reader:
        return reader.read()


def task(**changes: Any) -> Task:
    return Task(message=message(**changes), attempt=1)


def leftovers(task: Task) -> Leftovers:
    return Leftovers(uid=task.uid, attempt=task.attempt)


def delivery(sent: TaskMessage | bytes, *, receives: int = 1, **attributes: str) -> Delivery:
    body = sent if isinstance(sent, bytes) else sent.model_dump_json().encode()
    return Delivery(body=body, receipt="receipt", receives=receives, attributes=attributes)


def state(slots: Slots | None = None) -> DeliveryState:
    return DeliveryState(slots or Slots(1), lambda _: None)


@dataclass
class FakeTaskSource:
    """A queue in memory; a receipt is good until its message is handed over again."""

    waiting: list[tuple[bytes, int]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hidden: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    settled: list[bytes] = field(default_factory=list)
    released: list[timedelta] = field(default_factory=list)
    extended: int = 0
    on_extend: Callable[[], None] = lambda: None
    numbers: int = 0

    def put(self, body: bytes) -> None:
        self.waiting.append((body, 0))
        self.arrived.set()

    async def receive(self) -> Delivery | None:
        await asyncio.sleep(0)
        if not self.waiting:
            return None
        body, receives = self.waiting.pop(0)
        self.numbers += 1
        receipt = f"receipt-{self.numbers}"
        self.hidden[receipt] = (body, receives + 1)
        return Delivery(body=body, receipt=receipt, receives=receives + 1)

    async def extend(self, delivery: Delivery, by: timedelta) -> None:
        self.on_extend()
        if delivery.receipt not in self.hidden:
            raise LeaseLostError("gone")
        self.extended += 1
        if not by:
            self.waiting.append(self.hidden.pop(delivery.receipt))

    async def settle(self, delivery: Delivery) -> None:
        self.settled.append(delivery.body)
        self.hidden.pop(delivery.receipt, None)

    async def release(self, delivery: Delivery, after: timedelta = timedelta()) -> None:
        held = self.hidden.pop(delivery.receipt, None)
        if held:
            self.released.append(after)
            if not after:
                self.waiting.append(held)


@dataclass
class FakeNotifier:
    """Commits the first end of each task; fails as often as told."""

    verdict: Verdict = Verdict.PROCEED
    attempts: dict[Uid, int] = field(default_factory=dict)
    ends: dict[Uid, Stored] = field(default_factory=dict)
    progress: list[Progress] = field(default_factory=list)
    started: list[tuple[Uid, int]] = field(default_factory=list)
    reports: int = 0
    up: bool = True
    outages: int = 0
    reports_fail: bool = False
    cancelled: set[Uid] = field(default_factory=set)
    released: list[tuple[Uid, int, bool]] = field(default_factory=list)
    costs: dict[tuple[Uid, int], Cost] = field(default_factory=dict)

    async def begin(self, incoming: Incoming, receives: int) -> Begun:
        uid = incoming.message.uid
        if self.verdict is not Verdict.PROCEED:
            return Begun(verdict=self.verdict)
        self.attempts[uid] = self.attempts.get(uid, 0) + 1
        return Begun(verdict=Verdict.PROCEED, attempt=self.attempts[uid])

    async def report(
        self,
        uid: Uid,
        attempt: int,
        progress: Progress | None,
        started_at: datetime | None = None,
    ) -> bool:
        self.reports += 1
        if self.reports_fail:
            raise TransientError("no notifier")
        if started_at:
            self.started.append((uid, attempt))
        if progress:
            self.progress.append(progress)
        return uid in self.cancelled

    async def heard(self, reports: int) -> None:
        """Wait for that many more reports."""
        wanted = self.reports + reports
        async with asyncio.timeout(60):
            while self.reports < wanted:  # noqa: ASYNC110  # a fake needs no more
                await asyncio.sleep(0.001)

    async def release(
        self,
        uid: Uid,
        attempt: int,
        *,
        interrupted: bool,
        reason: str,
        cost: Cost | None = None,
    ) -> None:
        self.released.append((uid, attempt, interrupted))
        if cost is not None:
            self.costs[uid, attempt] = cost

    async def check(self) -> None:
        if not self.up:
            raise TransientError("the notifier does not answer")

    async def finish(self, uid: Uid, attempt: int, stored: Stored) -> bool:
        if self.outages:
            self.outages -= 1
            raise TransientError("no notifier")
        if stored.cost is not None:
            self.costs[uid, attempt] = stored.cost
        return self.ends.setdefault(uid, stored) is stored

    async def is_open(self, uid: Uid) -> bool:
        return uid not in self.ends


@dataclass
class FakeStore:
    """A bucket in memory, in the order of writing; it is claim and output store at once."""

    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    outages: int = 0

    async def write(
        self, key: str, body: Body, content_type: str, owner: str, *, anyway: bool = False
    ) -> str:
        if self.outages:
            self.outages -= 1
            raise TransientError("no S3")
        if anyway or self.owners.setdefault(key, owner) == owner:
            self.owners[key] = owner
            self.objects[key] = (whole(body), content_type)
        return self.owners[key]

    async def read(self, key: str) -> bytes:
        if key not in self.objects:
            raise TaskFailedError("gone", code="input_unavailable", retryable=True)
        return self.objects[key][0]


@dataclass
class FakeInputReader:
    """What URLs name, in memory."""

    bodies: Mapping[str, Body] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def read(self, url: str, take: Take) -> Body:
        self.asked.append(url)
        if url not in self.bodies:
            raise InputUnavailableError("the answer was 404")
        take(len(self.bodies[url]))
        return self.bodies[url]


async def make_image(job: Job, report: Report) -> Generated:
    report(Progress(step=1, total=2))
    return Generated(files=(File(body=PNG),), answer={"info": "{}", "parameters": {}})


async def run_for_ever(job: Job, report: Report) -> Generated:
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class FakeRuntime:
    """A runtime that does what its script says."""

    script: Callable[[Job, Report], Awaitable[Generated]] = make_image
    up: bool = True
    jobs: list[Job] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    interrupts: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cold: timedelta = timedelta()
    queue: list[Started] = field(default_factory=list)  # it works on the first
    forgotten: asyncio.Queue[Leftovers] = field(default_factory=asyncio.Queue)

    def loading(self, job: Job) -> timedelta:
        return self.cold

    async def probe(self) -> None:
        if not self.up:
            raise RuntimeLostError("the runtime does not answer")

    async def upload(self, name: str, body: Body) -> str:
        self.uploads.append(name)
        return f"folder/{name} (1)"

    async def encode(self, job: Job) -> Job:
        return job

    async def forget(self, leftovers: Leftovers) -> None:
        if not self.up:
            raise RuntimeLostError("the runtime does not answer")
        await self.forgotten.put(leftovers)

    async def run(
        self,
        job: Job,
        report: Report,
        release_early: ReleaseEarly = no_one_waits,
        started: Started = no_one_asks,
    ) -> Generated:
        self.jobs.append(job)
        self.queue.append(started)
        self._begin_next()
        self.started.set()
        try:
            made = await self.script(job, report)
        except asyncio.CancelledError:
            self.interrupts += 1
            raise
        finally:
            self.queue.remove(started)
            self._begin_next()
        await release_early()
        return made

    def _begin_next(self) -> None:
        if self.queue and self.up:
            self.queue[0]()


@dataclass
class FakePodApi:
    """Keeps every mark; fails first with each of `failures`, None being no answer."""

    failures: list[Exception | None] = field(default_factory=list)
    marks: asyncio.Queue[PodMark] = field(default_factory=asyncio.Queue)

    async def mark(self, mark: PodMark) -> None:
        if self.failures:
            error = self.failures.pop()
            if error is None:
                await asyncio.Event().wait()
            else:
                raise error
        await self.marks.put(mark)
