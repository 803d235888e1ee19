"""In-memory stand-ins for what the router needs, and tasks to submit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from contracts.ids import Key, Prefix, TaskId, Uid, claim_key, new_uid
from contracts.kinds import RuntimeType, TaskType
from contracts.message import TaskMessage
from contracts.runtimes import Runtime
from ledger.memory import MemoryLedger
from ledger.open_tasks_memory import MemoryOpenTasks
from ledger.recent_memory import MemoryRecentEnds
from router.cancel import Cancel
from router.dead_letters import DeadLetters
from router.domain import Claim, DeadLetter, Depth, Held, Reader, Submission
from router.links import LinkFiles, ReadFile
from router.look_up import LookUp
from router.overview import Overview, Today
from router.quotas import Quotas
from router.requests import ReadRequest
from router.submit import Submit
from router.submit_once import SubmitOnce
from servicekit.errors import AppError, FatalError, FieldError, RejectedError, TransientError

# In the future, or the emulator removes what has expired.
CALLBACK_URL = "https://studio.example.com/of-one?token=t"
READER = Reader(tenant="studio")
OPERATOR = Reader(tenant="studio", all_tenants=True)
NOW = datetime(2126, 1, 2, 3, 4, 5, tzinfo=UTC)
KEPT = timedelta(hours=24)
FIXED = Runtime(name="fixed", type=RuntimeType.SDWEBUI, model_filename="v1-5.safetensors")
DYNAMIC = Runtime(name="dynamic", type=RuntimeType.SDWEBUI, dynamic_model=True)
COMFY = Runtime(name="comfy", type=RuntimeType.COMFYUI)
RUNTIMES = (FIXED, DYNAMIC, COMFY)

_TASK = Submission(
    uid=Uid("01JD0000000000000000000000"),
    id=TaskId("test-t2i"),
    tenant="studio",
    key="bot",
    runtime="fixed",
    tasktype=TaskType.TEXT_TO_IMAGE,
    prefix=Prefix("output"),
    context_json='{"abc":123}',
    content_json=b'{"prompt":"a dog"}',
    checkpoint="",
)


def task(**changes: Any) -> Submission:
    """A task of a new submission."""
    return replace(_TASK, **{"uid": new_uid(), **changes})


def claim(
    uid: Uid, *, key: str = "key-1", fingerprint: str = "f", tenant: str = "studio"
) -> Claim:
    """What a submission with an idempotency key wants."""
    return Claim(tenant=tenant, key=key, fingerprint=fingerprint, uid=uid)


@dataclass
class FakeTaskTopic:
    """Keeps what was published; fails as it is told, before or after the message is out."""

    published: list[tuple[str, TaskType, TaskMessage]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)
    fails_before: AppError | None = None
    fails_after: AppError | None = None
    # What an agent does with the message while the publisher still waits.
    delivered: Callable[[Uid], Awaitable[object]] | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: bool = False

    async def publish(
        self, message: bytes, *, runtime: str, tasktype: TaskType, tenant: str
    ) -> None:
        self.entered.set()
        self.tenants.append(tenant)
        if self.fails_before:
            raise self.fails_before
        decoded = TaskMessage.decode(message)
        self.bodies.append(message)
        self.published.append((runtime, tasktype, decoded))
        if self.delivered:
            await self.delivered(decoded.uid)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails_after:
            raise self.fails_after


@dataclass
class FakeModels:
    """A catalogue of checkpoints."""

    names: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def require_checkpoint(self, name: str) -> None:
        self.asked.append(name)
        if name not in self.names:
            raise RejectedError(f"there is no model '{name}'", code="model_not_found")


@dataclass
class FakeClaims:
    """Bodies by key."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    error: TransientError | None = None

    async def put(self, uid: Uid, content_json: bytes) -> Key:
        if self.error:
            raise self.error
        key = claim_key(uid)
        self.bodies[key] = content_json
        return key

    async def get(self, key: Key) -> bytes:
        if key not in self.bodies:
            raise FatalError("it is gone")
        return self.bodies[key]


@dataclass
class FakeKeys:
    """Claims by tenant and key."""

    held: dict[tuple[str, str], Held] = field(default_factory=dict)
    accept_fails: bool = False

    async def claim(self, claim: Claim, now: datetime) -> Held:
        held = self.held.get((claim.tenant, claim.key))
        if held and int((held.claimed_at + KEPT).timestamp()) > int(now.timestamp()):
            return held
        return self._hold(claim, now)

    async def take_over(self, claim: Claim, held: Held, now: datetime) -> bool:
        found = self.held.get((claim.tenant, claim.key))
        if found is None or found.uid != held.uid or found.accepted:
            return False
        self._hold(claim, now)
        return True

    async def accept(self, claim: Claim) -> bool:
        if self.accept_fails:
            raise TransientError("the table is out of reach")
        found = self.held.get((claim.tenant, claim.key))
        if found is None or found.uid != claim.uid:
            return False
        self.held[claim.tenant, claim.key] = replace(found, accepted=True)
        return True

    async def release(self, claim: Claim) -> None:
        found = self.held.get((claim.tenant, claim.key))
        if found and found.uid == claim.uid and not found.accepted:
            del self.held[claim.tenant, claim.key]

    def _hold(self, claim: Claim, now: datetime) -> Held:
        held = Held(
            uid=claim.uid, fingerprint=claim.fingerprint, claimed_at=now, accepted=False
        )
        self.held[claim.tenant, claim.key] = held
        return held


@dataclass
class FakeNotifier:
    """Settles as the notifier does, or is down."""

    ledger: MemoryLedger
    asked: list[Uid] = field(default_factory=list)
    down: bool = False

    async def settle_cancel(self, uid: Uid) -> None:
        if self.down:
            raise TransientError("the notifier is down")
        self.asked.append(uid)
        await self.ledger.settle_cancel(uid, NOW)

    async def check_callback_url(self, tenant: str, url: str) -> None:
        if self.down:
            raise TransientError("the notifier is down")
        if (tenant, url) != ("studio", CALLBACK_URL):
            raise RejectedError(
                "callback_url must be allowed",
                code="invalid_request",
                errors=(FieldError("callback_url", "callback_url must be allowed"),),
            )


class FakeFiles:
    """Links and files that say what they were made of."""

    async def link(self, url: str, seconds: int) -> str:
        return f"https://{url.removeprefix('s3://')}?seconds={seconds}"

    async def listings(self, runtime: str, etag: str) -> tuple[str, bytes]:
        return "e1", b"" if etag == "e1" else runtime.encode()

    async def read(self, url: str) -> AsyncIterator[bytes]:
        yield b"read from "
        yield url.encode()


@dataclass
class FlakyLedger(MemoryLedger):
    """Its creations reach the table, but their answers may be lost or late."""

    loses_answer: bool = False
    hangs: bool = False
    withdraw_fails: bool = False
    created: asyncio.Event = field(default_factory=asyncio.Event)

    async def create(self, record: Any) -> Any:
        kept = await super().create(record)
        self.created.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.loses_answer:
            raise TransientError("the answer was lost")
        return kept

    async def withdraw(self, uid: Uid) -> bool:
        if self.withdraw_fails:
            raise TransientError("the table is out of reach")
        return await super().withdraw(uid)


@dataclass
class FakeRequests:
    """Packed requests by uid."""

    bodies: dict[Uid, bytes] = field(default_factory=dict)
    late: dict[Uid, bytes] = field(default_factory=dict)  # found by the second look
    asked: list[Uid] = field(default_factory=list)

    def keep(self, uid: Uid, body: bytes, created_at: datetime) -> None:
        self.bodies[uid] = body

    async def of(self, uid: Uid) -> bytes | None:
        self.asked.append(uid)
        found = self.bodies.get(uid)
        self.bodies |= self.late
        return found


@dataclass
class FakeQueues:
    """Queues in memory; one without a depth cannot be asked."""

    depths: dict[str, Depth] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    down: bool = False

    async def depth(self, name: str) -> Depth:
        if name not in self.depths:
            raise TransientError("the queue is out of reach")
        return self.depths[name]

    @asynccontextmanager
    async def parked(
        self, name: str, limit: int, only: frozenset[str] | None = None
    ) -> AsyncIterator[list[DeadLetter]]:
        found = [
            each
            for each in self.letters
            if each.queue == name
            and each.message_id not in self.held
            and (only is None or each.message_id in only)
        ][:limit]
        names = {each.message_id for each in found}
        self.held |= names
        try:
            yield found
        finally:
            self.held -= names

    async def delete(self, letter: DeadLetter) -> None:
        self.letters = [e for e in self.letters if e.message_id != letter.message_id]

    async def put_back(self, letter: DeadLetter) -> None:
        if self.down:
            raise TransientError("the queue is out of reach")
        self.sent.append((letter.queue, letter.body))


@dataclass
class World:
    """The use case with fakes around it."""

    ledger: FlakyLedger = field(default_factory=FlakyLedger)
    models: FakeModels = field(default_factory=FakeModels)
    topic: FakeTaskTopic = field(default_factory=FakeTaskTopic)
    claims: FakeClaims = field(default_factory=FakeClaims)
    keys: FakeKeys = field(default_factory=FakeKeys)
    open_tasks: MemoryOpenTasks = field(default_factory=MemoryOpenTasks)
    recent: MemoryRecentEnds = field(default_factory=MemoryRecentEnds)
    requests: FakeRequests = field(default_factory=FakeRequests)
    queues: FakeQueues = field(default_factory=FakeQueues)
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.notifier = FakeNotifier(self.ledger)

    @property
    def quotas(self) -> Quotas:
        return Quotas(open_tasks=self.open_tasks, usage=self.ledger, now=lambda: self.now)

    @property
    def submit(self) -> Submit:
        return Submit(
            runtimes=RUNTIMES,
            ledger=self.ledger,
            models=self.models,
            topic=self.topic,
            claims=self.claims,
            notifier=self.notifier,
            quotas=self.quotas,
            requests=self.requests,
            output_bucket="outputbucket",
        )

    @property
    def once(self) -> SubmitOnce:
        return SubmitOnce(
            submit=self.submit, keys=self.keys, ledger=self.ledger, now=lambda: self.now
        )

    @property
    def look_up(self) -> LookUp:
        return LookUp(runtimes=RUNTIMES, ledger=self.ledger)

    @property
    def read_request(self) -> ReadRequest:
        return ReadRequest(look_up=self.look_up, requests=self.requests, now=lambda: self.now)

    @cached_property
    def today(self) -> Today:
        return Today(usage=self.ledger)

    @property
    def overview(self) -> Overview:
        return Overview(
            runtimes=RUNTIMES,
            ledger=self.ledger,
            recent=self.recent,
            today=self.today,
            queues=self.queues,
            now=lambda: self.now,
        )

    @property
    def dead_letters(self) -> DeadLetters:
        return DeadLetters(
            runtimes=RUNTIMES,
            queues=self.queues,
            ledger=self.ledger,
            submit=self.once,
            claims=self.claims,
            output_bucket="outputbucket",
        )

    @property
    def cancel(self) -> Cancel:
        return Cancel(look_up=self.look_up, ledger=self.ledger, notifier=self.notifier)

    @property
    def link_files(self) -> LinkFiles:
        return LinkFiles(ledger=self.ledger, files=FakeFiles())

    @property
    def read_file(self) -> ReadFile:
        return ReadFile(ledger=self.ledger, files=FakeFiles())
