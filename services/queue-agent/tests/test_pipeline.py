"""Consumer and handler together: what goes on at once, and how deliveries are interrupted."""

from __future__ import annotations

import asyncio
import random
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
    run_for_ever,
)

from contracts.ids import Uid, claim_key, new_uid
from contracts.message import TaskMessage
from contracts.verdict import Verdict
from queue_agent.domain import (
    Begun,
    Delivery,
    Generated,
    Incoming,
    Job,
    RunInterruptedError,
    RuntimeGoneError,
    RuntimeHangsError,
    RuntimeLostError,
    Stored,
    TaskFailedError,
)
from queue_agent.files.body import Body
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.find import find_in_body
from queue_agent.metrics import Metrics
from queue_agent.pipeline import consumer as consumer_module
from queue_agent.pipeline import readiness
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
from servicekit.errors import TransientError
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


async def test_next_task_is_staged_while_one_runs_and_no_more(plant: Plant, gate: Gate) -> None:
    sent = plant.put(4)

    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(plant.notifier.attempts) == 2)
        await asyncio.sleep(0.05)
        assert list(plant.notifier.attempts) == [sent[0].uid, sent[1].uid]
        assert gate.at_work == [sent[0].uid]
        for _ in sent:
            gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 4)
        plant.stop.set()

    assert gate.at_work == [one.uid for one in sent]


async def test_outcome_is_delivered_while_the_next_task_runs(plant: Plant, gate: Gate) -> None:
    first, second = plant.put(2)
    stuck = asyncio.Event()
    write = plant.store.write

    async def slow(key: str, body: Body, content_type: str, owner: str, **how: bool) -> str:
        await stuck.wait()
        return await write(key, body, content_type, owner, **how)

    plant.store.write = slow  # type: ignore[method-assign]  # as slow as the test wants
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        gate.opened.release()
        await plant.until(lambda: gate.at_work == [first.uid, second.uid])
        assert plant.source.settled == []
        stuck.set()
        gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 2)
        plant.stop.set()


async def test_outcomes_that_cannot_be_delivered_hold_the_line(plant: Plant) -> None:
    plant.put(10)
    stuck = asyncio.Event()

    async def never(key: str, body: Body, content_type: str, owner: str, **how: bool) -> str:
        await stuck.wait()
        return owner

    plant.store.write = never  # type: ignore[method-assign]  # an outage
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(plant.runtime.jobs) == 5)
        await asyncio.sleep(0.05)
        assert len(plant.runtime.jobs) == 5, "depth + 3 are uploaded, and one is at work"
        stuck.set()
        await plant.until(lambda: len(plant.source.settled) == 10)
        plant.stop.set()


async def test_depth_0_does_one_thing_after_another(plant: Plant, gate: Gate) -> None:
    sent = plant.put(2)

    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(depth=0), name="agent")
        await plant.until(lambda: len(gate.at_work) == 1)
        await asyncio.sleep(0.05)
        assert plant.source.numbers == 1
        gate.opened.release()
        await plant.until(lambda: len(gate.at_work) == 2)
        assert plant.source.settled == [sent[0].model_dump_json().encode()]
        gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 2)
        plant.stop.set()


async def test_runtime_with_a_queue_has_the_next_job_before_one_ends(
    plant: Plant, gate: Gate
) -> None:
    sent = plant.put(3)

    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(width=2), name="agent")
        await plant.until(lambda: len(gate.at_work) == 2)
        assert plant.source.settled == []
        for _ in sent:
            gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 3)
        plant.stop.set()

    assert gate.at_work == [one.uid for one in sent]


async def test_a_task_has_started_when_the_runtime_begins_with_it_and_not_while_it_waits(
    plant: Plant, gate: Gate, beats: None
) -> None:
    """E3: the second one is in the runtime's own queue behind the first."""
    first, second = plant.put(2)

    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(width=2), name="agent")
        await plant.until(lambda: len(gate.at_work) == 2)
        await plant.notifier.heard(4)
        assert plant.notifier.started == [(first.uid, 1)]
        gate.opened.release()
        await plant.until(lambda: len(plant.notifier.started) == 2)
        gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 2)
        plant.stop.set()

    assert plant.notifier.started == [(first.uid, 1), (second.uid, 1)]


@pytest.mark.parametrize("width", [1, 2])
async def test_stop_releases_what_is_staged_at_once_and_lets_the_run_end(
    plant: Plant, gate: Gate, width: int
) -> None:
    first, second = plant.put(2)

    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(width=width), name="agent")
        await plant.until(lambda: len(plant.notifier.attempts) == 2)
        await asyncio.sleep(0.02)
        plant.stop.set()
        await plant.until(lambda: plant.source.released == [timedelta()])
        assert plant.notifier.released == [(second.uid, 1, True)]
        gate.opened.release()

    assert plant.source.settled == [first.model_dump_json().encode()]
    assert list(plant.notifier.ends) == [first.uid]


async def test_run_that_outlasts_the_drain_is_interrupted_and_released(
    plant: Plant, gate: Gate
) -> None:
    (first,) = plant.put(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(drain=0.02), name="agent")
        await plant.until(lambda: len(gate.at_work) == 1)
        plant.stop.set()

    assert plant.runtime.interrupts == 1
    assert plant.source.released == [timedelta()]
    assert plant.notifier.released == [(first.uid, 1, True)]
    assert plant.store.objects == {}


async def test_begin_that_is_under_way_at_stop_is_released_with_its_attempt(
    plant: Plant, gate: Gate
) -> None:
    (sent,) = plant.put(1)
    begin, asked, answered = plant.notifier.begin, asyncio.Event(), asyncio.Event()

    async def slow(incoming: Incoming, receives: int) -> Begun:
        asked.set()
        await answered.wait()
        return await begin(incoming, receives)

    plant.notifier.begin = slow  # type: ignore[method-assign]  # a call that is out
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await asked.wait()
        plant.stop.set()
        await asyncio.sleep(0.01)
        answered.set()

    assert plant.notifier.released == [(sent.uid, 1, True)]
    assert plant.source.released == [timedelta()]
    assert gate.at_work == []


async def test_notifier_that_is_gone_does_not_hold_a_release_up(
    plant: Plant, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "RELEASE_BUDGET", timedelta(milliseconds=10))
    plant.put(1)

    async def never(uid: Uid, attempt: int, *, interrupted: bool, reason: str) -> None:
        await asyncio.Event().wait()

    plant.notifier.release = never  # type: ignore[method-assign]  # it hangs
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(drain=0), name="agent")
        await plant.until(lambda: len(gate.at_work) == 1)
        plant.stop.set()

    assert plant.source.released == [timedelta()]


async def test_lease_is_kept_for_staged_work_too(plant: Plant, gate: Gate) -> None:
    plant.put(2)
    kept: set[str] = set()
    extend = plant.source.extend

    async def noted(delivery: Delivery, by: timedelta) -> None:
        kept.add(delivery.receipt)
        await extend(delivery, by)

    plant.source.extend = noted  # type: ignore[method-assign]  # counted
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(lease=0.03), name="agent")
        await plant.until(lambda: len(kept) == 2)
        gate.opened.release()
        gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 2)
        plant.stop.set()


async def test_staged_work_is_dropped_when_its_lease_has_run_out(
    plant: Plant, gate: Gate
) -> None:
    first, second = plant.put(2)

    def fail() -> None:
        if gate.at_work:
            raise TransientError("no route to queue")

    plant.source.on_extend = fail
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(lease=0.3), name="agent")
        await plant.until(lambda: len(plant.notifier.attempts) == 2)
        await asyncio.sleep(1)
        gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 1)
        plant.stop.set()

    assert gate.at_work == [first.uid]
    assert second.uid not in plant.notifier.ends


async def ready(plant: Plant) -> bool:
    return plant.health.reason is None


@pytest.mark.parametrize("width", [1, 2])
async def test_runtime_that_dies_costs_what_it_executed_a_failure_and_nothing_else_a_receive(
    plant: Plant, gate: Gate, width: int
) -> None:
    """D2: what is staged, or waits in its queue, stays in hand until the runtime is back."""
    first, second = plant.put(2)
    lose = asyncio.Event()

    async def dies(job: Job, report: Report) -> Generated:
        gate.at_work.append(job.uid)
        await lose.wait()
        plant.runtime.up = False
        raise RuntimeLostError("the runtime does not answer")

    plant.runtime.script = dies
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(width=width), name="agent")
        await plant.until(lambda: len(gate.at_work) == width)
        await plant.until(lambda: len(plant.notifier.attempts) == 2)
        lose.set()
        await plant.until(lambda: plant.health.reason == "the runtime does not answer")
        await plant.until(lambda: len(plant.notifier.released) == 1)
        assert plant.source.settled == []
        plant.runtime.script, plant.runtime.up = make_image, True
        await plant.until(lambda: len(plant.source.settled) == 2)
        assert await ready(plant)
        plant.stop.set()

    assert plant.notifier.released == [(first.uid, 1, False)]
    assert plant.notifier.attempts[second.uid] == 1
    assert plant.source.numbers == 3


async def test_what_is_staged_goes_back_when_the_runtime_stays_away(
    plant: Plant, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "HOLD", timedelta(milliseconds=1))
    first, second = plant.put(2)
    lose = asyncio.Event()

    async def dies(job: Job, report: Report) -> Generated:
        await lose.wait()
        plant.runtime.up = False
        raise RuntimeLostError("the runtime does not answer")

    plant.runtime.script = dies
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(plant.notifier.attempts) == 2)
        lose.set()
        await plant.until(lambda: len(plant.notifier.released) == 2)
        plant.stop.set()

    assert set(plant.notifier.released) == {(first.uid, 1, False), (second.uid, 1, True)}


async def test_broken_device_stops_the_agent_until_the_runtime_is_a_new_one(
    plant: Plant,
) -> None:
    """D1: the sick runtime empties no queue."""
    plant.put(8)

    async def broken(job: Job, report: Report) -> Generated:
        raise TaskFailedError(
            "RuntimeError: CUDA error: an illegal memory access was encountered",
            code="runtime_error",
        )

    probe, probes, gone = plant.runtime.probe, 0, False

    async def counted() -> None:
        nonlocal probes
        probes += 1
        if gone:
            raise RuntimeGoneError("nobody listens")
        await probe()

    plant.runtime.probe = counted  # type: ignore[method-assign]  # it answers as ever
    plant.runtime.script = broken
    consumer = plant.consumer(1, 1, 30, 1)
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.work(consumer), name="agent")
        await plant.until(lambda: consumer.readiness.restart_reason is not None)
        seen = probes
        await plant.until(lambda: probes > seen + 3)
        assert len(plant.runtime.jobs) == 1, "it answers, but it is no new one"
        assert "illegal memory access" in (plant.health.reason or "")
        assert "illegal memory access" in (consumer.readiness.restart_reason or "")
        gone = True
        await plant.until(lambda: plant.health.reason == "nobody listens")
        assert consumer.readiness.restart_reason is None
        gone, plant.runtime.script = False, make_image
        await plant.until(lambda: len(plant.source.settled) == 8)
        plant.stop.set()

    assert all(end.failure is None for end in plant.notifier.ends.values())
    assert [interrupted for _, _, interrupted in plant.notifier.released] == [True]


async def test_run_that_is_given_up_has_the_runtime_looked_at_before_the_next(
    plant: Plant,
) -> None:
    first, second = plant.put(2, timeout_seconds=1)
    plant.runtime.script = run_for_ever
    probe, reasons = plant.runtime.probe, list[str]()

    async def hangs() -> None:
        if first.uid in {job.uid for job in plant.runtime.jobs} and not reasons:
            reasons.append("looked")
            assert second.uid not in {job.uid for job in plant.runtime.jobs}
            raise RuntimeHangsError("goes on")
        await probe()

    plant.runtime.probe = hangs  # type: ignore[method-assign]  # once after the first run
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(plant.source.settled) == 2)
        plant.stop.set()

    assert reasons == ["looked"]
    assert {end.failure and end.failure.code for end in plant.notifier.ends.values()} == {
        "timeout"
    }


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        progress.ProgressReporter.__init__,
        "__kwdefaults__",
        {"interval": timedelta(milliseconds=5)},
    )


async def test_staged_task_that_is_cancelled_ends_at_once(
    plant: Plant, gate: Gate, beats: None
) -> None:
    first, second = plant.put(2)

    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(plant.notifier.attempts) == 2)
        plant.notifier.cancelled.add(second.uid)
        await plant.until(lambda: second.uid in plant.notifier.ends)
        assert plant.notifier.ends[second.uid].cancelled
        assert plant.notifier.ends[second.uid].failure is None
        gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 2)
        plant.stop.set()

    assert gate.at_work == [first.uid]
    assert plant.runtime.interrupts == 0


async def test_running_task_that_is_cancelled_is_interrupted(
    plant: Plant, gate: Gate, beats: None
) -> None:
    (sent,) = plant.put(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(gate.at_work) == 1)
        plant.notifier.cancelled.add(sent.uid)
        await plant.until(lambda: len(plant.source.settled) == 1)
        plant.stop.set()

    assert plant.runtime.interrupts == 1
    end = plant.notifier.ends[sent.uid]
    assert (end.cancelled, end.image_url) == (True, ())
    (out,) = plant.store.objects
    assert b'"error_msg": "cancelled"' in plant.store.objects[out][0]
    assert plant.notifier.released == []


async def test_poisoned_task_is_released_at_once_and_never_deleted(plant: Plant) -> None:
    plant.put(1)
    plant.notifier.verdict = Verdict.POISONED
    release = plant.source.release

    async def parked(delivery: Delivery, after: timedelta = timedelta()) -> None:
        await release(delivery, after)
        plant.source.waiting.clear()
        plant.stop.set()

    plant.source.release = parked  # type: ignore[method-assign]  # the redrive policy
    await plant.run()

    assert plant.source.released == [timedelta()]
    assert plant.source.settled == []
    assert plant.notifier.released == []


async def test_interrupt_by_somebody_else_is_no_failure_of_the_attempt(plant: Plant) -> None:
    (sent,) = plant.put(1)

    async def interrupted(job: Job, report: Report) -> Generated:
        plant.stop.set()
        raise RunInterruptedError("somebody else interrupted the runtime")

    plant.runtime.script = interrupted
    await plant.run()

    assert plant.notifier.released == [(sent.uid, 1, True)]
    assert plant.source.released == [timedelta(seconds=2)]


async def test_outage_before_the_run_is_no_failure_of_the_attempt(plant: Plant) -> None:
    uid = new_uid()
    (sent,) = plant.put(1, uid=uid, content=None, content_key=claim_key(uid))

    async def away(key: str) -> bytes:
        plant.stop.set()
        raise TransientError("no S3")

    plant.store.read = away  # type: ignore[method-assign]  # an outage
    await plant.run()

    assert plant.notifier.released == [(sent.uid, 1, True)]
    assert plant.source.settled == []


async def test_outage_after_the_run_is_no_failure_of_the_attempt(plant: Plant) -> None:
    (sent,) = plant.put(1)
    plant.store.outages = 1000

    async def stopping(job: Job, report: Report) -> Generated:
        plant.stop.set()
        return await make_image(job, report)

    plant.runtime.script = stopping
    await plant.run()

    assert plant.notifier.released == [(sent.uid, 1, True)]
    assert plant.source.settled == []


class Fickle:
    """Makes things go wrong at random, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  # to be repeated, not secret

    async def pause(self) -> None:
        await asyncio.sleep(self.random.choice([0, 0, 0.001, 0.003]))

    async def fault(self, *errors: Exception) -> None:
        await self.pause()
        if self.random.random() < 0.15:
            raise self.random.choice(errors)


@pytest.mark.parametrize("seed", range(20))
async def test_each_delivery_is_settled_or_released_once_whatever_goes_wrong(
    plant: Plant, seed: int, beats: None
) -> None:
    fickle, outage = Fickle(seed), TransientError("an outage")
    ends: dict[str, list[str]] = {}
    source, notifier = plant.source, plant.notifier
    settle, release, begin, finish = (
        source.settle,
        source.release,
        notifier.begin,
        notifier.finish,
    )

    async def run(job: Job, report: Report) -> Generated:
        await fickle.fault(
            RuntimeLostError("gone"),
            RunInterruptedError("somebody"),
            TaskFailedError("it broke", code="runtime_error"),
        )
        return await make_image(job, report)

    async def begun(incoming: Incoming, receives: int) -> Begun:
        await fickle.fault(outage)
        return await begin(incoming, receives)

    async def finished(uid: Uid, attempt: int, stored: Stored) -> bool:
        await fickle.fault(outage)
        return await finish(uid, attempt, stored)

    async def settled(delivery: Delivery) -> None:
        ends.setdefault(delivery.receipt, []).append("settled")
        uid = TaskMessage.decode(delivery.body).uid
        assert uid in notifier.ends, "settled before it was told"
        await fickle.fault(outage)
        await settle(delivery)

    async def released(delivery: Delivery, after: timedelta = timedelta()) -> None:
        ends.setdefault(delivery.receipt, []).append("released")
        await fickle.fault(outage)
        await release(delivery)  # at once, so that the test goes on

    plant.runtime.script = run
    source.settle, source.release = settled, released  # type: ignore[method-assign]  # faulty
    notifier.begin, notifier.finish = begun, finished  # type: ignore[method-assign]  # faulty
    sent = plant.put(12)
    notifier.cancelled.add(sent[5].uid)
    async with asyncio.TaskGroup() as group:
        group.create_task(
            plant.run(depth=seed % 3, width=1 + seed % 2, drain=0.005), name="agent"
        )
        await asyncio.sleep(0.05 + seed * 0.01)
        plant.stop.set()

    assert len(ends) == source.numbers, "every delivery has come to an end"
    assert {len(each) for each in ends.values()} == {1}
