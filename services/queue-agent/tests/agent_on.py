"""A whole agent on a runtime that runs; its queue, its notifier and its bucket are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from handler_parts import LIMITS, Room
from queue_agent_fakes import FakeTaskSource, message

from contracts.ids import Uid
from contracts.kinds import TaskType
from queue_agent.domain import Delivery
from queue_agent.inputs.fetch import Fetcher
from queue_agent.pipeline.consumer import Consumer
from queue_agent.pipeline.readiness import Readiness
from queue_agent.pipeline.slots import Slots
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.runtimes.port import RuntimeOptions, RuntimeParts
from servicekit.health import Health

LIMIT = 600.0  # seconds; no run of a test needs them
LEASE = timedelta(seconds=120)
LOOK = timedelta(seconds=0.2)
END_SECONDS = 300

OPTIONS = RuntimeOptions(
    poll=timedelta(seconds=1),
    silence=timedelta(seconds=60),
    loaded=LoadedModels(),
    dynamic_model=True,
    own_model="",
    models_folder="",
)


class _PatientSource(FakeTaskSource):
    """Waits for a message as SQS does, so that the processor is the server's."""

    async def receive(self) -> Delivery | None:
        if not self.waiting:
            await asyncio.sleep(LOOK.total_seconds())
        return await super().receive()


@dataclass
class Agent:
    """Takes tasks and does them, as long as its block lasts."""

    room: Room = field(default_factory=Room)
    source: FakeTaskSource = field(default_factory=_PatientSource)

    def submit(
        self, content: dict[str, Any], tasktype: TaskType = TaskType.PIPELINE, **changes: Any
    ) -> Uid:
        """Put a task into the queue."""
        sent = message(content=content, tasktype=tasktype, **changes)
        self.source.put(sent.model_dump_json().encode())
        return sent.uid

    def cancel(self, uid: Uid) -> None:
        """Take a task back, as its client may."""
        self.room.notifier.cancelled.add(uid)

    def ending(self, uid: Uid) -> str:
        """`completed`, `cancelled` or the code of the failure; empty before the end."""
        stored = self.room.notifier.ends.get(uid)
        if stored is None:
            return ""
        if stored.cancelled:
            return "cancelled"
        return stored.failure.code if stored.failure else "completed"

    async def works(self, uid: Uid, seen: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the server shows that it works for a task; fails if that has ended."""
        async with asyncio.timeout(END_SECONDS):
            while not await seen():
                assert not self.ending(uid), self.room.notifier.ends[uid]
                await asyncio.sleep(LOOK.total_seconds())

    async def ended(self, uid: Uid) -> str:
        """Wait for how a task ends."""
        async with asyncio.timeout(END_SECONDS):
            while not self.ending(uid):  # noqa: ASYNC110  # fakes change in many places
                await asyncio.sleep(0.05)
        return self.ending(uid)

    def files(self, uid: Uid) -> list[bytes]:
        """The images of a task, in their order."""
        urls = self.room.notifier.ends[uid].image_url
        return [self.room.store.objects[url.split("/", 3)[3]][0] for url in urls]


@asynccontextmanager
async def agent_on(parts: RuntimeParts) -> AsyncIterator[Agent]:
    """An agent as `main` builds it, two deliveries staged."""
    agent, stop = Agent(), asyncio.Event()
    handler = agent.room.handler_of(parts, Fetcher(readers={}, limits=LIMITS), limit=LIMIT)
    consumer = Consumer(
        source=agent.source,
        notifier=agent.room.notifier,
        readiness=Readiness(runtime=parts.runtime, health=Health(), poll=LOOK),
        metrics=agent.room.metrics,
        slots=Slots(1, parts.width),
        lease=LEASE,
        drain=timedelta(seconds=1),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(consumer.consume(handler.handle, stop), name="agent")
        try:
            yield agent
        finally:
            stop.set()


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Wait until another process shows something."""
    async with asyncio.timeout(END_SECONDS):
        while not await seen():  # noqa: ASYNC110  # another process
            await asyncio.sleep(LOOK.total_seconds())
