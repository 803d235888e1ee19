from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from router_fakes import NOW, World, task

from contracts.cost import Cost
from contracts.keys import Quota
from ledger.open_tasks import Owner
from ledger.record import Record, Result
from servicekit.errors import RejectedError, TransientError

OWNER = Owner("studio", "bot")
TWO = Quota(open_tasks=2)
IMAGES = Result(image_url=("s3://b/1.png", "s3://b/2.png"), output_url="s3://b/x.out")


async def ended_today(world: World, micros: int | None = None) -> Record:
    record = await world.submit(task())
    cost = Cost(gpu_ms=1500, micros=micros, currency="USD") if micros else None
    await world.ledger.begin(record.uid, NOW)
    result = replace(IMAGES, attempt=1, cost=cost)
    ended, _ = await world.ledger.finish(record.uid, result, NOW)
    assert ended is not None
    await world.ledger.mark_callback_sent(ended, NOW)
    return ended


async def test_a_key_has_as_many_open_tasks_as_it_may(world: World) -> None:
    records = [await world.submit(task(quota=TWO)) for _ in range(2)]

    with pytest.raises(RejectedError) as caught:
        await world.submit(task(quota=TWO))

    assert caught.value.code == "quota_exceeded"
    assert str(caught.value) == "this key has used up its open tasks: 2 of 2"
    assert caught.value.facts == {"quota": "open_tasks", "limit": "2", "used": "2"}
    assert caught.value.retry_after == timedelta(seconds=5)
    assert set(world.ledger.records) == {record.uid for record in records}
    assert all(record.counted for record in records)


async def test_a_refused_task_leaves_nothing(world: World) -> None:
    await asyncio.gather(*(world.submit(task(quota=TWO)) for _ in range(2)))
    with pytest.raises(RejectedError):
        await world.submit(task(quota=TWO, content_json=b"x" * 300_000))
    assert (world.claims.bodies, len(world.topic.published)) == ({}, 2)


async def test_a_key_without_a_quota_is_not_counted(world: World) -> None:
    record = await world.submit(task())
    assert not record.counted
    assert world.open_tasks.held == {}


async def test_a_task_that_could_not_be_queued_does_not_count(world: World) -> None:
    world.topic.fails_before = TransientError("SNS is out of reach")
    with pytest.raises(TransientError):
        await world.submit(task(quota=TWO))
    assert await world.open_tasks.of(OWNER) == frozenset()


async def test_a_task_whose_body_could_not_be_stored_does_not_count(world: World) -> None:
    world.claims.error = TransientError("S3 is out of reach")
    with pytest.raises(TransientError):
        await world.submit(task(quota=TWO, content_json=b"x" * 300_000))
    assert await world.open_tasks.of(OWNER) == frozenset()


async def test_a_submission_that_comes_again_counts_once(world: World) -> None:
    submitted = task(quota=Quota(open_tasks=1))
    assert await world.submit(submitted) == await world.submit(submitted)
    assert await world.open_tasks.of(OWNER) == {submitted.uid}


async def test_the_images_of_a_day_end_a_keys_day(world: World) -> None:
    await ended_today(world)
    await world.submit(task(quota=Quota(daily_images=3)))

    with pytest.raises(RejectedError) as caught:
        await world.submit(task(quota=Quota(daily_images=2)))

    assert caught.value.facts == {
        "quota": "daily_images",
        "limit": "2",
        "used": "2",
        "resets_at": "2126-01-03T00:00:00Z",
    }
    assert caught.value.retry_after == timedelta(hours=20, minutes=55, seconds=55)
    world.now += timedelta(days=1)
    await world.submit(task(quota=Quota(daily_images=2)))


@pytest.mark.parametrize(
    "quota", [Quota(daily_images=1), Quota(monthly_budget=Decimal("0.01"))]
)
async def test_what_another_key_has_used_does_not_count(world: World, quota: Quota) -> None:
    ended = await ended_today(world, micros=1_250_000)
    with pytest.raises(RejectedError):
        await world.submit(task(quota=quota))
    await world.submit(replace(task(quota=quota), key="site"))
    assert ended.key == "bot"


async def test_the_money_of_a_month_ends_a_keys_month(world: World) -> None:
    await ended_today(world, micros=1_250_000)
    await world.submit(task(quota=Quota(monthly_budget=Decimal("1.26"))))

    with pytest.raises(RejectedError) as caught:
        await world.submit(task(quota=Quota(monthly_budget=Decimal("1.25"))))

    assert caught.value.facts == {
        "quota": "monthly_budget",
        "limit": "1.25",
        "used": "1.25",
        "resets_at": "2126-02-01T00:00:00Z",
    }
    world.now += timedelta(days=20)  # in the same month
    with pytest.raises(RejectedError):
        await world.submit(task(quota=Quota(monthly_budget=Decimal("1.25"))))
    world.now += timedelta(days=11)
    await world.submit(task(quota=Quota(monthly_budget=Decimal("1.25"))))
