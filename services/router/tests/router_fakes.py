"""In-memory stand-ins for what the router needs, and tasks to submit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.ids import Key, Prefix, TaskId, Uid, claim_key, new_uid
from contracts.kinds import RuntimeType, TaskType
from contracts.message import TaskMessage
from contracts.runtimes import Runtime
from ledger.memory import MemoryLedger
from router.domain import Submission
from router.submit import Submit
from servicekit.errors import AppError, RejectedError, TransientError

FIXED = Runtime(name="fixed", type=RuntimeType.SDWEBUI, model_filename="v1-5.safetensors")
DYNAMIC = Runtime(name="dynamic", type=RuntimeType.SDWEBUI, dynamic_model=True)
COMFY = Runtime(name="comfy", type=RuntimeType.COMFYUI)
RUNTIMES = (FIXED, DYNAMIC, COMFY)

_TASK = Submission(
    uid=Uid("01JD0000000000000000000000"),
    id=TaskId("test-t2i"),
    tenant="studio",
    runtime="fixed",
    tasktype=TaskType.TEXT_TO_IMAGE,
    prefix=Prefix("output"),
    context_json='{"abc":123}',
    content_json=b'{"prompt":"a dog"}',
    checkpoint="",
)


def task(**changes: Any) -> Submission:
    """Give a task of a new submission."""
    return replace(_TASK, **{"uid": new_uid(), **changes})


@dataclass
class FakeTaskTopic:
    """Keeps what was published; fails as it is told, before or after the message is out."""

    published: list[tuple[str, TaskType, TaskMessage]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    fails_before: AppError | None = None
    fails_after: AppError | None = None
    # What an agent does with the message while the publisher still waits.
    delivered: Callable[[Uid], Awaitable[object]] | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: bool = False

    async def publish(self, message: bytes, *, runtime: str, tasktype: TaskType) -> None:
        self.entered.set()
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
class World:
    """The use case with fakes around it."""

    ledger: FlakyLedger = field(default_factory=FlakyLedger)
    models: FakeModels = field(default_factory=FakeModels)
    topic: FakeTaskTopic = field(default_factory=FakeTaskTopic)
    claims: FakeClaims = field(default_factory=FakeClaims)

    @property
    def submit(self) -> Submit:
        return Submit(
            runtimes=RUNTIMES,
            ledger=self.ledger,
            models=self.models,
            topic=self.topic,
            claims=self.claims,
            output_bucket="outputbucket",
        )
