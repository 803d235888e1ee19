"""What a runtime that dies, stays away or is broken costs the tasks in hand."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from pipeline_parts import Gate, Plant, ready
from queue_agent_fakes import (
    make_image,
    run_for_ever,
)

from queue_agent.domain import (
    Generated,
    Job,
    RuntimeGoneError,
    RuntimeHangsError,
    RuntimeLostError,
    TaskFailedError,
)
from queue_agent.pipeline import readiness
from queue_agent.ports import Report


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
