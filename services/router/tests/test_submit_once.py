from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from router_fakes import KEPT, NOW, World, claim, task

from contracts.ids import Uid, new_uid
from ledger.record import Record
from router.domain import Submission
from router.submit_once import TAKEN_FOR_DEAD
from servicekit.errors import RejectedError, TransientError

DOWN = TransientError("SNS is down")


async def submitted(world: World, **changes: str) -> Record:
    wanted = task()
    return await world.once(wanted, claim(wanted.uid, **changes))


async def test_without_a_key_each_call_is_a_task(world: World) -> None:
    for _ in range(2):
        await world.once(task())
    assert len(world.ledger.records) == 2


async def test_the_same_key_gives_the_first_submission_and_publishes_once(
    world: World,
) -> None:
    first = await submitted(world)
    assert await submitted(world) == first
    assert len(world.topic.published) == 1
    await world.ledger.begin(first.uid, NOW)
    assert (await submitted(world)).uid == first.uid


async def test_the_same_submission_again_is_the_same(world: World) -> None:
    wanted = task()
    first = await world.once(wanted, claim(wanted.uid))
    assert await world.once(wanted, claim(wanted.uid)) == first
    assert list(world.ledger.records) == [wanted.uid]


async def test_the_same_key_with_another_request_is_refused(world: World) -> None:
    await submitted(world)
    with pytest.raises(RejectedError) as caught:
        await submitted(world, fingerprint="other")
    assert caught.value.code == "idempotency_conflict"
    assert "key-1" not in str(caught.value)


async def test_a_key_is_its_tenants_own(world: World) -> None:
    first = await submitted(world)
    assert (await submitted(world, tenant="other")).uid != first.uid


async def test_a_key_is_free_after_24_hours(world: World) -> None:
    first = await submitted(world)
    world.now = NOW + KEPT
    assert (await submitted(world, fingerprint="other")).uid != first.uid


async def test_a_refused_submission_leaves_its_key_free(world: World) -> None:
    wanted = task(runtime="none")
    with pytest.raises(RejectedError):
        await world.once(wanted, claim(wanted.uid))
    assert world.keys.held == {}


async def test_a_submission_that_could_not_be_published_may_come_again_at_once(
    world: World,
) -> None:
    world.topic.fails_after = DOWN
    with pytest.raises(TransientError):
        await submitted(world)
    world.topic.fails_after = None
    record = await submitted(world)
    assert list(world.ledger.records) == [record.uid]


async def test_while_the_first_is_under_way_the_second_is_told_to_come_again(
    world: World,
) -> None:
    world.topic.hangs = True
    async with asyncio.TaskGroup() as group:
        first = group.create_task(submitted(world), name="first")
        await world.topic.entered.wait()
        with pytest.raises(TransientError, match="under way"):
            await submitted(world)
        first.cancel()
    assert len(world.topic.published) == 1


async def died(world: World) -> Submission:
    """A submission whose router died after it was recorded."""
    wanted = task()
    await world.keys.claim(claim(wanted.uid), NOW)
    await world.submit(wanted)
    return wanted


async def test_the_key_of_a_submission_that_died_is_taken_over(world: World) -> None:
    dead = await died(world)
    with pytest.raises(TransientError):
        await submitted(world)
    world.now = NOW + TAKEN_FOR_DEAD
    record = await submitted(world)
    assert record.uid != dead.uid
    assert list(world.ledger.records) == [record.uid]  # the dead one never runs
    assert (await submitted(world)).uid == record.uid


async def test_the_key_is_taken_over_though_the_submission_that_died_was_tried_twice(
    world: World,
) -> None:
    dead = await died(world)
    await world.submit(dead)
    world.now = NOW + TAKEN_FOR_DEAD
    record = await submitted(world)
    assert record.uid != dead.uid
    assert list(world.ledger.records) == [record.uid]


async def test_a_submission_that_died_after_an_agent_began_it_was_accepted(
    world: World,
) -> None:
    dead = await died(world)
    begun = await world.ledger.begin(dead.uid, NOW)
    assert await submitted(world) == begun


async def test_of_many_who_take_over_at_once_one_is_accepted(world: World) -> None:
    await died(world)
    world.now = NOW + TAKEN_FOR_DEAD
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(outcome(world), name=f"take-{n}") for n in range(10)]
    accepted = {call.result() for call in calls} - {None}
    assert accepted == set(world.ledger.records)
    assert len(accepted) == 1


async def outcome(world: World) -> Uid | None:
    try:
        return (await submitted(world)).uid
    except TransientError:
        return None


async def test_a_submission_whose_key_was_taken_over_is_not_accepted(world: World) -> None:
    other = claim(new_uid())

    async def lose(uid: Uid) -> None:
        held = world.keys.held["studio", "key-1"]
        assert await world.keys.take_over(other, held, NOW + timedelta(minutes=1))

    world.topic.delivered = lose
    with pytest.raises(TransientError):
        await submitted(world)
    assert world.ledger.records == {}
    assert world.keys.held["studio", "key-1"].uid == other.uid


async def test_a_submission_that_cannot_be_noted_is_withdrawn(world: World) -> None:
    world.keys.accept_fails = True
    with pytest.raises(TransientError):
        await submitted(world)
    assert world.ledger.records == {}
    assert world.keys.held == {}


async def test_a_key_of_a_task_that_may_still_run_stays_held(world: World) -> None:
    world.topic.fails_after = DOWN
    world.ledger.withdraw_fails = True
    with pytest.raises(TransientError):
        await submitted(world)
    assert len(world.keys.held) == 1


def test_a_claim_does_not_show_its_key() -> None:
    assert "key-1" not in repr(claim(new_uid()))
