"""A consumer with fakes around it, as a fixture."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from queue_agent_fakes import FakeNotifier, FakeRuntime, FakeTaskSource

from queue_agent.domain import (
    Delivery,
)
from queue_agent.files.body import check_room
from queue_agent.metrics import Metrics
from queue_agent.pipeline.consumer import Consumer, Handle
from queue_agent.pipeline.delivery_state import DeliveryState
from queue_agent.pipeline.readiness import Readiness, nothing_else
from queue_agent.pipeline.slots import Slots
from servicekit.health import Health

POLL = timedelta(milliseconds=5)


class Agent:
    """A consumer with fakes around it."""

    def __init__(self, metrics: Metrics) -> None:
        self.source, self.runtime, self.health = FakeTaskSource(), FakeRuntime(), Health()
        self.stop, self.notifier = asyncio.Event(), FakeNotifier()
        self.metrics = metrics
        self.work: list[bool] = []  # what came and went
        self.check_room = check_room
        self.check_notifier = nothing_else

    async def _check_notifier(self) -> None:
        await self.check_notifier()

    async def run(
        self,
        handle: Handle,
        *,
        lease: timedelta = timedelta(seconds=30),
        drain: timedelta = timedelta(seconds=1),
        depth: int = 0,
    ) -> None:
        consumer = Consumer(
            source=self.source,
            notifier=self.notifier,
            readiness=Readiness(
                runtime=self.runtime,
                health=self.health,
                poll=POLL,
                check_room=self.check_room,
                check_notifier=self._check_notifier,
                refusal_pause=timedelta(milliseconds=1),
            ),
            metrics=self.metrics,
            slots=Slots(depth),
            lease=lease,
            drain=drain,
            at_work=self.work.append,
        )
        async with asyncio.timeout(60):
            await consumer.consume(handle, self.stop)


@pytest.fixture
def agent(metrics: Metrics) -> Agent:
    return Agent(metrics)


def stopping(agent: Agent, error: Exception | None = None) -> Handle:
    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        agent.stop.set()
        if error:
            raise error

    return handle
