"""What an agent does when its runtime, its platform or AWS fails."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from consumer_parts import Agent, stopping
from queue_agent_fakes import task

from queue_agent.domain import (
    Delivery,
    QueueMissingError,
    RuntimeHangsError,
    RuntimeLostError,
)
from queue_agent.files.body import NoRoomError
from queue_agent.pipeline.delivery_state import DeliveryState, Stage
from servicekit.errors import FatalError, TransientError


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
