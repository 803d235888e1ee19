"""How a delivery ends: cancelled, poisoned, interrupted; and each exactly once."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from pipeline_parts import Gate, Plant
from queue_agent_fakes import (
    make_image,
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
    RuntimeLostError,
    Stored,
    TaskFailedError,
)
from queue_agent.ports import Report
from servicekit.errors import TransientError


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
        async with asyncio.timeout(60):
            while len(ends) <= seed % 12:  # noqa: ASYNC110  # what ends has no event
                await asyncio.sleep(0.001)
        plant.stop.set()

    assert len(ends) == source.numbers, "every delivery has come to an end"
    assert {len(each) for each in ends.values()} == {1}
