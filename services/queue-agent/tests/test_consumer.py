from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from consumer_parts import Agent, stopping

from queue_agent.domain import (
    Delivery,
    RuntimeLostError,
    UnworkableError,
)
from queue_agent.pipeline import consumer as consumer_module
from queue_agent.pipeline.delivery_state import DeliveryState, Stage
from servicekit.errors import RejectedError, TransientError


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
