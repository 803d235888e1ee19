from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from queue_agent_fakes import FakeNotifier, FakeRuntime, FakeTaskSource, task

from queue_agent.domain import (
    Delivery,
    QueueMissingError,
    RuntimeHangsError,
    RuntimeLostError,
    UnworkableError,
)
from queue_agent.files.body import NoRoomError, check_room
from queue_agent.metrics import Metrics
from queue_agent.pipeline import consumer as consumer_module
from queue_agent.pipeline.consumer import Consumer, Handle
from queue_agent.pipeline.delivery_state import DeliveryState, Stage
from queue_agent.pipeline.readiness import Readiness, nothing_else
from queue_agent.pipeline.slots import Slots
from servicekit.errors import FatalError, RejectedError, TransientError
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


async def test_finished_task_is_settled(agent: Agent) -> None:
    agent.source.put(b"one")

    await agent.run(stopping(agent))

    assert agent.source.settled == [b"one"]
    assert agent.source.released == []


@pytest.mark.parametrize("error", [None, TransientError("no S3"), UnworkableError("no")])
async def test_the_agent_is_at_work_from_a_receive_to_its_end(
    agent: Agent, error: Exception | None
) -> None:
    agent.source.put(b"one")

    await agent.run(stopping(agent, error))

    assert agent.work == [True, False]


async def test_nothing_is_leased_before_the_runtime_is_ready(agent: Agent) -> None:
    agent.runtime.up = False
    agent.source.put(b"one")
    probes = 0
    probe = agent.runtime.probe

    async def counted() -> None:
        nonlocal probes
        probes += 1
        assert agent.source.numbers == 0
        agent.runtime.up = probes > 3
        await probe()
        assert agent.health.reason is not None

    agent.runtime.probe = counted  # type: ignore[method-assign]  # the fourth probe finds it up

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        assert agent.health.reason is None
        agent.stop.set()

    await agent.run(handle)

    assert agent.source.settled == [b"one"]


async def test_task_running_at_stop_may_finish_within_the_drain(agent: Agent) -> None:
    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        state.stage = Stage.RUNNING
        agent.stop.set()
        await asyncio.sleep(0.02)

    agent.source.put(b"one")

    await agent.run(handle)

    assert agent.source.settled == [b"one"]


async def test_task_that_outlasts_the_drain_goes_back_at_once(agent: Agent) -> None:
    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        state.stage = Stage.RUNNING
        agent.stop.set()
        await asyncio.Event().wait()

    agent.source.put(b"one")

    await agent.run(handle, drain=timedelta(milliseconds=10))

    assert agent.source.settled == []
    assert agent.source.released == [timedelta()]


async def test_message_received_after_stop_is_released_unstarted(agent: Agent) -> None:
    receive = agent.source.receive

    async def late() -> Delivery | None:
        agent.stop.set()
        return await receive()

    agent.source.receive = late  # type: ignore[method-assign]  # the poll that was already out
    agent.source.put(b"late")

    await agent.run(stopping(agent, AssertionError("must not start")))

    assert agent.source.released == [timedelta()]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(UnworkableError("undecodable"), timedelta(), id="unworkable"),
        pytest.param(RuntimeLostError("gone"), timedelta(), id="lost-runtime"),
        pytest.param(TransientError("no S3"), timedelta(seconds=2), id="own-backoff"),
        pytest.param(
            TransientError("slow down", retry_after=timedelta(minutes=2)),
            timedelta(minutes=2),
            id="asked-for-longer",
        ),
        pytest.param(RejectedError("no", code="x"), timedelta(seconds=2), id="rejected"),
    ],
)
async def test_task_that_could_not_be_done_is_released_and_never_settled(
    agent: Agent, error: Exception, expected: timedelta
) -> None:
    agent.source.put(b"one")

    await agent.run(stopping(agent, error))

    assert agent.source.settled == []
    assert agent.source.released == [expected]


@pytest.mark.parametrize(
    ("error", "interrupted"),
    [(RuntimeLostError("gone"), True), (RuntimeHangsError("stuck"), False)],
)
async def test_a_runtime_that_hangs_counts_as_a_failure_and_a_lost_one_does_not(
    agent: Agent, error: Exception, interrupted: bool
) -> None:
    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        state.mark_staged(task())
        agent.stop.set()
        raise error

    agent.source.put(b"one")

    await agent.run(handle)

    assert [one for _, _, one in agent.notifier.released] == [interrupted]


async def test_lost_runtime_makes_the_agent_unready_until_it_is_back(agent: Agent) -> None:
    reasons: list[str | None] = []

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        reasons.append(agent.health.reason)
        if len(reasons) > 1:
            agent.stop.set()
            return
        agent.runtime.up = False
        asyncio.get_running_loop().call_later(0.05, note_and_heal)
        raise RuntimeLostError("the runtime does not answer")

    def note_and_heal() -> None:
        reasons.append(agent.health.reason)
        agent.runtime.up = True

    agent.source.put(b"one")

    await agent.run(handle)

    assert reasons == [None, "the runtime does not answer", None]


async def test_runtime_that_is_not_there_at_the_start_is_told_in_the_log_once(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    probe, probes = agent.runtime.probe, 0

    async def twice() -> None:
        nonlocal probes
        probes += 1
        if probes > 1:
            agent.stop.set()
        await probe()

    agent.runtime.up = False
    monkeypatch.setattr(agent.runtime, "probe", twice)

    await agent.run(stopping(agent))

    told = [record for record in caplog.records if record.message == "not ready"]
    assert [record.__dict__["reason"] for record in told] == ["the runtime does not answer"]
    assert probes == 2


async def test_full_disk_gives_the_task_back_and_makes_the_agent_unready_until_there_is_room(
    agent: Agent,
) -> None:
    reasons: list[str | None] = []
    full = False

    def check_room() -> None:
        if full:
            reasons.append(agent.health.reason)
            heal()
            raise NoRoomError("still full")

    def heal() -> None:
        nonlocal full
        full = False

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        nonlocal full
        reasons.append(agent.health.reason)
        if len(reasons) > 1:
            agent.stop.set()
            return
        state.mark_staged(task())
        full = True
        raise NoRoomError("the disk is full")

    agent.check_room = check_room
    agent.source.put(b"one")
    agent.source.put(b"two")

    await agent.run(handle)

    assert reasons == [None, "the disk is full", None]
    assert agent.source.settled == [b"two"]
    assert agent.source.released == [timedelta(seconds=2)]
    assert [interrupted for _, _, interrupted in agent.notifier.released] == [True]


async def test_refusal_by_aws_is_an_interruption_and_nothing_more_is_taken_for_a_while(
    agent: Agent,
) -> None:
    """D4: IAM denies the bucket. Readiness says why, and work tells when that is over."""
    pause = asyncio.Event()
    probes = 0

    async def waiting() -> None:
        nonlocal probes
        probes += 1
        await pause.wait()

    handed = 0

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        nonlocal handed
        handed += 1
        if handed > 1:
            agent.stop.set()
            return
        state.mark_staged(task())
        state.stage = Stage.RUNNING
        agent.check_notifier = waiting
        raise FatalError("AWS refused s3.write: AccessDenied")

    agent.source.put(b"one")
    agent.source.put(b"two")

    async def let_go_on() -> None:
        while not probes:  # noqa: ASYNC110  # the pause is over
            await asyncio.sleep(0)
        assert agent.health.reason == "AWS refused s3.write: AccessDenied"
        assert handed == 1
        pause.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(let_go_on(), name="let-go-on")
        group.create_task(agent.run(handle), name="agent")

    assert agent.source.released == [timedelta(seconds=2)]
    assert [interrupted for _, _, interrupted in agent.notifier.released] == [True]
    assert agent.source.settled == [b"two"]


async def test_refusal_by_the_queue_is_waited_out_and_told(agent: Agent) -> None:
    receive, refusals, told = agent.source.receive, iter([True]), list[str | None]()

    async def denied() -> Delivery | None:
        if next(refusals, False):
            raise FatalError("AWS refused sqs.receive: AccessDenied")
        return await receive()

    async def noted() -> None:
        told.append(agent.health.reason)

    agent.source.receive = denied  # type: ignore[method-assign]  # once
    agent.check_notifier = noted
    agent.source.put(b"one")

    await agent.run(stopping(agent))

    assert "AWS refused sqs.receive: AccessDenied" in told
    assert agent.source.settled == [b"one"]


async def test_queue_that_is_not_there_ends_the_process(agent: Agent) -> None:
    async def missing() -> Delivery | None:
        raise QueueMissingError("no such queue")

    agent.source.receive = missing  # type: ignore[method-assign]  # a wrong address

    with pytest.raises(QueueMissingError):
        await agent.run(stopping(agent))


async def test_nothing_is_received_while_the_notifier_cannot_be_reached(agent: Agent) -> None:
    """D3: each receive would use up one of the ten that a message has."""
    checks = 0

    async def away() -> None:
        nonlocal checks
        checks += 1
        assert agent.source.numbers == 0
        if checks <= 3:
            raise TransientError("the notifier does not answer")
        assert agent.health.reason == "the notifier does not answer"

    agent.check_notifier = away
    agent.source.put(b"one")

    await agent.run(stopping(agent))

    assert agent.source.settled == [b"one"]
    assert agent.source.numbers == 1


async def test_begin_that_fails_is_no_reason_to_receive_the_next(agent: Agent) -> None:
    """D3: the notifier goes away between a look at it and the next message."""
    up = True

    async def check() -> None:
        nonlocal up
        if not up:
            up = True
            raise TransientError("the notifier does not answer")
        reasons.append(agent.health.reason)

    reasons: list[str | None] = []

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        nonlocal up
        if agent.source.numbers == 1:
            up = False
            raise TransientError("call failed")
        agent.stop.set()

    agent.check_notifier = check
    agent.source.put(b"one")
    agent.source.put(b"two")

    await agent.run(handle)

    assert "the notifier does not answer" in reasons
    assert agent.source.settled == [b"two"]


async def test_lease_is_kept_while_work_goes_on(agent: Agent) -> None:
    extended_twice = _after(agent, 2)

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        await extended_twice.wait()
        agent.stop.set()

    agent.source.put(b"one")

    await agent.run(handle, lease=timedelta(milliseconds=15))

    assert agent.source.settled == [b"one"]


async def test_work_stops_when_somebody_else_has_the_message(agent: Agent) -> None:
    cancelled = asyncio.Event()

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        agent.source.hidden.clear()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
            agent.stop.set()

    agent.source.put(b"one")

    await agent.run(handle, lease=timedelta(milliseconds=15))

    assert cancelled.is_set()
    assert agent.source.settled == agent.source.released == []


async def test_outage_of_the_queue_does_not_end_running_work(agent: Agent) -> None:
    calls = _after(agent, 2, fail=TransientError("no route to queue"))

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        state.stage = Stage.RUNNING
        await calls.wait()
        agent.stop.set()

    agent.source.put(b"one")

    await agent.run(handle, lease=timedelta(milliseconds=15))

    assert agent.source.settled == [b"one"]


async def test_outage_of_the_queue_is_waited_out(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "QUEUE_PAUSE", timedelta())
    receive, failures = agent.source.receive, iter([True, True])

    async def flaky() -> Delivery | None:
        if next(failures, False):
            raise TransientError("no route to queue")
        return await receive()

    agent.source.receive = flaky  # type: ignore[method-assign]  # two failures, then well
    agent.source.put(b"one")

    await agent.run(stopping(agent))

    assert agent.source.settled == [b"one"]


def _after(agent: Agent, calls: int, fail: Exception | None = None) -> asyncio.Event:
    reached, seen = asyncio.Event(), iter(range(1, 1000))

    def count() -> None:
        if next(seen) >= calls:
            reached.set()
        if fail:
            raise fail

    on_extend: Callable[[], None] = count
    agent.source.on_extend = on_extend
    return reached
