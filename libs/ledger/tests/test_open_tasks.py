from __future__ import annotations

import asyncio

import pytest

from contracts.ids import new_uid
from ledger.dynamodb import DynamoDbLedger
from ledger.open_tasks import OpenTasks, Owner
from ledger.open_tasks_dynamodb import DynamoDbOpenTasks
from ledger.open_tasks_memory import MemoryOpenTasks


@pytest.fixture(params=["memory", "dynamodb"])
def open_tasks(request: pytest.FixtureRequest) -> OpenTasks:
    if request.param == "memory":
        return MemoryOpenTasks()
    ledger: DynamoDbLedger = request.getfixturevalue("dynamodb")
    return DynamoDbOpenTasks(ledger=ledger)


@pytest.fixture
def owner() -> Owner:
    return Owner(f"tenant-{new_uid()}", "bot")


async def test_as_many_as_the_limit_are_taken_at_once(
    open_tasks: OpenTasks, owner: Owner
) -> None:
    uids = [new_uid() for _ in range(20)]
    taken = await asyncio.gather(*(open_tasks.take(owner, uid, 7) for uid in uids))

    assert sum(taken) == 7
    assert await open_tasks.of(owner) == {
        uid for uid, was in zip(uids, taken, strict=True) if was
    }


async def test_what_is_taken_twice_is_counted_once(open_tasks: OpenTasks, owner: Owner) -> None:
    uid = new_uid()
    assert [await open_tasks.take(owner, uid, 1) for _ in range(2)] == [True, True]
    assert await open_tasks.of(owner) == {uid}


async def test_what_is_given_back_twice_makes_room_for_one(
    open_tasks: OpenTasks, owner: Owner
) -> None:
    first, second, third = (new_uid() for _ in range(3))
    await open_tasks.take(owner, first, 2)
    await open_tasks.take(owner, second, 2)
    assert not await open_tasks.take(owner, third, 2)
    for _ in range(2):
        await open_tasks.give_back(owner, first)
    assert await open_tasks.take(owner, third, 2)
    assert await open_tasks.of(owner) == {second, third}


async def test_keys_do_not_share_what_they_may_take(
    open_tasks: OpenTasks, owner: Owner
) -> None:
    other = Owner(owner.tenant, "other")
    assert await open_tasks.take(owner, new_uid(), 1)
    assert await open_tasks.take(other, new_uid(), 1)
    assert {owner, other} <= set(await open_tasks.owners())


async def test_a_key_that_took_nothing_has_nothing(open_tasks: OpenTasks, owner: Owner) -> None:
    await open_tasks.give_back(owner, new_uid())
    assert await open_tasks.of(owner) == frozenset()
