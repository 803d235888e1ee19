"""Consumer and handler together: what goes on at once, and how deliveries are interrupted."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from pipeline_parts import Gate, Plant

from contracts.ids import Uid
from queue_agent.domain import (
    Begun,
    Delivery,
    Incoming,
)
from queue_agent.files.body import Body
from queue_agent.pipeline import consumer as consumer_module
from servicekit.errors import TransientError


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

    async def never(uid: Uid, attempt: int, **how: object) -> None:
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
