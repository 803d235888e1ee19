"""Each attempt tells what it has cost, however it ends; together it is the time of the node."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from pipeline_parts import Gate, Plant

from contracts.ids import Uid
from queue_agent.domain import Node, RuntimeLostError, TaskFailedError
from queue_agent.pipeline.account import HOUR_MS, Account, price_of

HOUR = Decimal(3600)  # of money: a second costs one


@pytest.fixture(autouse=True)
def account(plant: Plant) -> Account:
    node = Node(type="here", capacity="spot")
    plant.account = Account(node, price_of(node, {"here": {"spot": HOUR}}, "EUR"))
    return plant.account


def balanced(plant: Plant) -> bool:
    """Whether what the notifier was told is what the account has."""
    told = plant.notifier.costs.values()
    ms = sum(cost.gpu_ms for cost in told)
    assert sum(cost.micros or 0 for cost in told) == ms * HOUR * 10**6 / HOUR_MS
    return 0 <= plant.account.busy_seconds * 1000 - ms < 1


async def test_a_completed_task_costs_the_time_of_its_run(plant: Plant, gate: Gate) -> None:
    (sent,) = plant.put()
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(gate.at_work) == 1)
        await asyncio.sleep(0.02)
        gate.opened.release()
        await plant.until(lambda: len(plant.source.settled) == 1)
        plant.stop.set()

    cost = plant.notifier.costs[sent.uid, 1]
    assert cost.gpu_ms >= 20
    assert (cost.currency, cost.node_type, cost.capacity) == ("EUR", "here", "spot")
    assert cost.gpu_ms / 1000 < plant.account.up_seconds
    assert balanced(plant)


async def test_a_cancelled_run_is_paid_and_one_that_was_only_staged_is_not(
    plant: Plant, gate: Gate, beats: None
) -> None:
    first, second = plant.put(2)
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(plant.notifier.attempts) == 2)
        await asyncio.sleep(0.02)
        plant.notifier.cancelled.add(second.uid)
        await plant.until(lambda: second.uid in plant.notifier.ends)
        plant.notifier.cancelled.add(first.uid)
        await plant.until(lambda: len(plant.source.settled) == 2)
        plant.stop.set()

    assert plant.notifier.costs[first.uid, 1].gpu_ms >= 20
    assert plant.notifier.costs[second.uid, 1].gpu_ms == 0
    assert balanced(plant)


@pytest.mark.parametrize(
    "error",
    [
        TaskFailedError("no such sampler", code="runtime_error"),
        RuntimeLostError("gone"),
    ],
)
async def test_a_failed_attempt_and_the_one_after_it_are_both_paid(
    plant: Plant, error: Exception
) -> None:
    make = plant.runtime.script
    broken: list[Uid] = []

    async def fails_once(job: object, report: object) -> object:
        await asyncio.sleep(0.01)
        if not broken:
            broken.append(sent.uid)
            raise error
        return await make(job, report)  # type: ignore[arg-type]  # as it came

    plant.runtime.script = fails_once  # type: ignore[assignment]  # see above
    (sent,) = plant.put()
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(plant.source.settled) == 1)
        plant.stop.set()

    attempts = plant.notifier.attempts[sent.uid]
    assert attempts == (1 if isinstance(error, TaskFailedError) else 2)
    costs = [plant.notifier.costs[sent.uid, 1 + number] for number in range(attempts)]
    assert all(cost.gpu_ms >= 10 for cost in costs)
    assert balanced(plant)


async def test_a_run_that_a_stop_interrupts_is_paid(plant: Plant, gate: Gate) -> None:
    (sent,) = plant.put()
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(drain=0.02), name="agent")
        await plant.until(lambda: len(gate.at_work) == 1)
        plant.stop.set()

    assert plant.notifier.released == [(sent.uid, 1, True)]
    assert plant.notifier.costs[sent.uid, 1].gpu_ms >= 20
    assert balanced(plant)


async def test_an_attempt_whose_message_was_lost_is_paid(plant: Plant, gate: Gate) -> None:
    (sent,) = plant.put()
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(lease=0.06), name="agent")
        await plant.until(lambda: len(gate.at_work) == 1)
        plant.source.hidden.clear()
        await plant.until(lambda: len(plant.notifier.released) == 1)
        plant.stop.set()

    assert plant.notifier.released == [(sent.uid, 1, False)]
    assert plant.notifier.costs[sent.uid, 1].gpu_ms > 0
    assert balanced(plant)


async def test_an_outcome_that_could_not_be_told_is_released_at_the_same_cost(
    plant: Plant,
) -> None:
    (sent,) = plant.put()
    plant.notifier.outages = 10**6
    async with asyncio.TaskGroup() as group:
        group.create_task(plant.run(), name="agent")
        await plant.until(lambda: len(plant.notifier.released) == 1)
        plant.stop.set()

    assert plant.notifier.released == [(sent.uid, 1, True)]
    assert balanced(plant)
