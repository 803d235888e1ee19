from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from notifier_fakes import DONE, NEVER, NOW, RECORD, UID, World

from contracts.ids import made_at, new_uid
from ledger.open_tasks import Owner
from notifier.domain import callback_of
from notifier.sweep import Sweep
from servicekit.errors import TransientError

AGE = timedelta(seconds=60)


def sweep(world: World, interval: timedelta = NEVER) -> Sweep:
    return Sweep(
        ledger=world.ledger,
        open_tasks=world.open_tasks,
        settle=world.settle,
        interval=interval,
        age=AGE,
    )


async def test_a_callback_that_was_never_sent_is_sent_after_its_age(world: World) -> None:
    await world.ledger.finish(UID, DONE, NOW)
    world.now = NOW + AGE
    assert await sweep(world).once() == 0
    world.now += timedelta(milliseconds=1)
    assert await sweep(world).once() == 1
    assert world.callbacks == [callback_of(world.record)]
    assert not world.record.callback_due
    assert await sweep(world).once() == 0


async def test_of_two_sweepers_one_sends(world: World) -> None:
    await world.ledger.finish(UID, DONE, NOW)
    world.now = NOW + 2 * AGE
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(sweep(world).once(), name=f"sweep-{number}")
    assert len(world.callbacks) == 1


async def test_an_outage_leaves_it_due_for_a_later_sweep(world: World) -> None:
    await world.ledger.finish(UID, DONE, NOW)
    world.now = NOW + 2 * AGE
    world.topic.down = True
    with pytest.raises(TransientError):
        await sweep(world).once()
    world.topic.down = False
    assert await sweep(world).once() == 0
    world.now += 2 * AGE
    assert await sweep(world).once() == 1


async def test_sweeping_outlives_an_outage_and_ends_when_it_is_told(world: World) -> None:
    await world.ledger.finish(UID, DONE, NOW)
    world.now = NOW + 2 * AGE
    world.topic.down = True
    stop = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(
            sweep(world, timedelta(milliseconds=1)).run_until_stopped(stop), name="sweep"
        )
        await world.topic.refused.wait()
        world.topic.down = False
        world.now += 2 * AGE
        await world.topic.accepted.wait()
        stop.set()
    assert len(world.callbacks) == 1


OWNER = Owner("studio", "bot")


async def test_what_has_ended_or_was_never_recorded_no_longer_counts_as_open(
    world: World,
) -> None:
    ended = await world.ledger.create(replace(RECORD, uid=new_uid()))
    await world.ledger.finish(ended.uid, DONE, NOW)
    for uid in (UID, ended.uid, new_uid()):
        await world.open_tasks.take(OWNER, uid, 10)

    assert await sweep(world).make_room() == 2

    assert await world.open_tasks.of(OWNER) == {UID}


async def test_what_was_just_counted_is_left_alone(world: World) -> None:
    uid = new_uid()
    world.now = made_at(uid) + AGE / 2
    await world.open_tasks.take(OWNER, uid, 10)

    assert await sweep(world).make_room() == 0

    assert await world.open_tasks.of(OWNER) == {uid}
