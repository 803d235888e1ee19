"""A whole pipeline with fakes around it, as fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from queue_agent_fakes import (
    FakeInputReader,
    FakeNotifier,
    FakeRuntime,
    FakeStore,
    FakeTaskSource,
    make_image,
    message,
)

from contracts.ids import Uid
from contracts.message import TaskMessage
from queue_agent.domain import (
    Generated,
    Job,
)
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.find import find_in_body
from queue_agent.metrics import Metrics
from queue_agent.pipeline import consumer as consumer_module
from queue_agent.pipeline.account import Account
from queue_agent.pipeline.consumer import Consumer
from queue_agent.pipeline.readiness import Readiness
from queue_agent.pipeline.slots import Slots
from queue_agent.ports import Report
from queue_agent.task import progress, results
from queue_agent.task.handler import Handler
from queue_agent.task.incoming import MessageReader
from queue_agent.task.out_document import SdWebuiOut
from queue_agent.task.prepare import Preparer
from queue_agent.task.results import ResultPublisher
from queue_agent.task.run import Runner
from queue_agent.task.run_limits import RunLimits
from servicekit.health import Health

Script = Callable[[Job, Report], Awaitable[Generated]]


@dataclass
class Plant:
    """A whole agent with fakes around it; it runs until `stop`."""

    source: FakeTaskSource = field(default_factory=FakeTaskSource)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    store: FakeStore = field(default_factory=FakeStore)
    health: Health = field(default_factory=Health)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    account: Account = field(default_factory=Account)
    metrics: Metrics = field(
        default_factory=lambda: Metrics(NoOpMeterProvider().get_meter("test"))
    )

    def put(self, count: int = 1, **changes: Any) -> list[TaskMessage]:
        sent = [message(**changes) for _ in range(count)]
        for one in sent:
            self.source.put(one.model_dump_json().encode())
        return sent

    def consumer(self, depth: int, width: int, lease: float, drain: float) -> Consumer:
        return Consumer(
            source=self.source,
            notifier=self.notifier,
            readiness=Readiness(
                runtime=self.runtime, health=self.health, poll=timedelta(milliseconds=5)
            ),
            metrics=self.metrics,
            slots=Slots(depth, width),
            lease=timedelta(seconds=lease),
            drain=timedelta(seconds=drain),
            account=self.account,
        )

    def handler(self) -> Handler:
        limit = timedelta(seconds=5)
        return Handler(
            reader=MessageReader(runtime_name="sdruntime", bucket="bucket"),
            notifier=self.notifier,
            preparer=Preparer(
                claims=self.store,
                fetcher=Fetcher(
                    readers={"s3": FakeInputReader()},
                    limits=InputLimits(count=1, bytes_each={}, bytes_total=1),
                ),
                find_inputs=find_in_body,
                runtime=self.runtime,
                metrics=self.metrics,
            ),
            runner=Runner(
                runtime=self.runtime,
                out=SdWebuiOut(),
                limits=RunLimits(floor=limit, cap=limit, per_megapixel_step=timedelta()),
            ),
            publisher=ResultPublisher(
                store=self.store,
                notifier=self.notifier,
                metrics=self.metrics,
                budget=timedelta(seconds=0.05),
            ),
            metrics=self.metrics,
            clean_up=lambda _: None,
            now=lambda: datetime.now(UTC),
        )

    async def run(
        self, *, depth: int = 1, width: int = 1, lease: float = 30, drain: float = 1
    ) -> None:
        await self.work(self.consumer(depth, width, lease, drain))

    async def work(self, consumer: Consumer) -> None:
        async with asyncio.timeout(60):
            await consumer.consume(self.handler().handle, self.stop)

    async def until(self, claim: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not claim():  # noqa: ASYNC110  # fakes change in many places
                await asyncio.sleep(0.001)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    monkeypatch.setattr(results, "FIRST_PAUSE", timedelta(milliseconds=1))
    monkeypatch.setattr(consumer_module, "QUEUE_PAUSE", timedelta())
    return Plant()


@dataclass
class Gate:
    """Lets each run of a script go on when its turn is called."""

    at_work: list[Uid] = field(default_factory=list)
    opened: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def __call__(self, job: Job, report: Report) -> Generated:
        self.at_work.append(job.uid)
        await self.opened.acquire()
        return await make_image(job, report)


@pytest.fixture
def gate(plant: Plant) -> Gate:
    opened = Gate()
    plant.runtime.script = opened
    return opened


async def ready(plant: Plant) -> bool:
    return plant.health.reason is None


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        progress.ProgressReporter.__init__,
        "__kwdefaults__",
        {"interval": timedelta(milliseconds=5)},
    )
