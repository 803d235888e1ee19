"""The contract of `IdempotencyKeys`, of the fake and of DynamoDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from router_fakes import KEPT, NOW, FakeKeys, claim

from awsio import clients
from contracts.ids import new_uid
from provisioning.resources import provision
from router.adapters.dynamodb import DynamoDbKeys
from router.domain import Claim, Held
from router.ports import IdempotencyKeys

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="session")
def table(aws: str) -> str:
    """A table of this session."""
    return asyncio.run(provision(f"keys-{new_uid().lower()}", [])).table


@pytest.fixture(params=["fake", "dynamodb"])
async def keys(request: pytest.FixtureRequest, table: str) -> AsyncIterator[IdempotencyKeys]:
    """Each keeper of keys that must keep the contract."""
    if request.param == "fake":
        yield FakeKeys()
        return
    async with clients.dynamodb() as client:
        yield DynamoDbKeys(client=client, table=table)


@pytest.fixture
def first() -> Claim:
    """A claim on a key of its own."""
    return claim(new_uid(), key=new_uid())


def another(first: Claim, fingerprint: str = "f") -> Claim:
    return claim(new_uid(), key=first.key, fingerprint=fingerprint)


def held(by: Claim, *, accepted: bool = False) -> Held:
    return Held(uid=by.uid, fingerprint=by.fingerprint, claimed_at=NOW, accepted=accepted)


async def test_the_first_claim_holds_the_key(keys: IdempotencyKeys, first: Claim) -> None:
    for one in (first, first, another(first, "other")):
        assert await keys.claim(one, NOW) == held(first)


async def test_another_tenant_or_key_is_another_claim(
    keys: IdempotencyKeys, first: Claim
) -> None:
    await keys.claim(first, NOW)
    for one in (claim(new_uid(), key=first.key, tenant="b"), claim(new_uid(), key=new_uid())):
        assert await keys.claim(one, NOW) == held(one)


async def test_an_accepted_claim_is_held_for_24_hours(
    keys: IdempotencyKeys, first: Claim
) -> None:
    await keys.claim(first, NOW)
    assert await keys.accept(first)
    late = another(first)
    assert await keys.claim(late, NOW + KEPT - SECOND) == held(first, accepted=True)
    taken = await keys.claim(late, NOW + KEPT)
    assert (taken.uid, taken.accepted) == (late.uid, False)
    assert not await keys.accept(first)


async def test_a_claim_that_was_not_accepted_can_be_taken_over(
    keys: IdempotencyKeys, first: Claim
) -> None:
    before, second = await keys.claim(first, NOW), another(first)
    assert await keys.take_over(second, before, NOW)
    assert not await keys.take_over(another(first), before, NOW)
    assert not await keys.accept(first)
    assert await keys.accept(second)
    assert await keys.claim(first, NOW) == held(second, accepted=True)


async def test_an_accepted_claim_is_not_taken_over(keys: IdempotencyKeys, first: Claim) -> None:
    before = await keys.claim(first, NOW)
    await keys.accept(first)
    assert not await keys.take_over(another(first), before, NOW)


async def test_only_a_claim_of_ones_own_that_was_not_accepted_is_released(
    keys: IdempotencyKeys, first: Claim
) -> None:
    await keys.release(first)
    await keys.claim(first, NOW)
    second = another(first)
    await keys.release(second)
    assert await keys.claim(second, NOW) == held(first)
    await keys.release(first)
    assert await keys.claim(second, NOW) == held(second)
    await keys.accept(second)
    await keys.release(second)
    assert await keys.claim(first, NOW) == held(second, accepted=True)


async def test_of_many_claims_at_once_one_holds_the_key(
    keys: IdempotencyKeys, first: Claim
) -> None:
    claims = [another(first) for _ in range(10)]
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(keys.claim(one, NOW), name=f"claim-{one.uid}") for one in claims
        ]
    (holder,) = {call.result().uid for call in calls}
    assert holder in {one.uid for one in claims}


async def test_the_key_itself_is_not_stored(table: str, first: Claim) -> None:
    async with clients.dynamodb() as client:
        await DynamoDbKeys(client=client, table=table).claim(first, NOW)
        stored = await client.scan(TableName=table)
    assert first.uid in str(stored["Items"])
    assert first.key not in str(stored["Items"])
