from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from router_fakes import COMFY, FIXED, NOW, OPERATOR, READER, RUNTIMES, World

from contracts.ids import Prefix, TaskId, new_uid
from contracts.kinds import TaskType
from contracts.runtimes import WEBHOOKS
from ledger.recent import EVERYBODY, MINUTE, Ends, total
from ledger.record import Record
from ledger.usage import Counts, Used
from router import overview
from router.domain import Depth, Reader
from router.overview import FRESH

DEPTH = Depth(queued=2, running=1, dead_letters=3)
ONE = Counts(tasks=1, completed=1, images=2)


def queued(world: World, ago: timedelta) -> Record:
    record = Record(
        uid=new_uid(), id=TaskId("a"), tenant="rival", runtime="fixed",
        tasktype=TaskType.TEXT_TO_IMAGE, bucket="b", prefix=Prefix("output"),
        context_json="null", created_at=NOW - ago,
    )  # fmt: skip
    world.ledger.records[record.uid] = record
    return record


def used(world: World, tenant: str, runtime: str = "fixed") -> None:
    world.ledger.counted.append(
        Used(
            tenant=tenant,
            key="bot",
            runtime=runtime,
            day=NOW.date(),
            counts=ONE,
            currency="USD",
        )
    )


async def test_an_operator_is_told_of_queues_and_of_the_longest_wait(world: World) -> None:
    world.queues.depths = {"fixed": DEPTH, "comfy": replace(DEPTH, queued=0)}
    queued(world, timedelta(seconds=30))
    queued(world, timedelta(seconds=90))

    fixed, dynamic, comfy = await world.overview(OPERATOR)

    assert (fixed.depth, fixed.oldest_wait) == (DEPTH, timedelta(seconds=90))
    assert (dynamic.depth, dynamic.oldest_wait) == (None, None)
    assert comfy.depth == replace(DEPTH, queued=0)
    assert comfy.oldest_wait is None


async def test_others_are_told_of_their_own_tasks_and_of_no_queue(world: World) -> None:
    world.queues.depths = {"fixed": DEPTH, WEBHOOKS: DEPTH}
    ends = Ends()
    for tenant in ("studio", "rival", "rival"):
        ends.add(tenant, "fixed", NOW - 3 * MINUTE, ONE)
        used(world, tenant)
    world.recent.counts = ends.counts

    own, all_ = (await world.overview(READER))[0], (await world.overview(OPERATOR))[0]

    assert (own.depth, own.oldest_wait) == (None, None)
    assert (total(own.last_hour).tasks, own.today.tasks, own.currency) == (1, 1, "USD")
    assert (total(all_.last_hour).tasks, all_.today.tasks) == (3, 3)
    assert all_.last_hour[-4].tasks == 3
    assert await world.overview.webhook_dead_letters(READER) is None
    assert await world.overview.webhook_dead_letters(OPERATOR) == 3


async def test_a_queue_that_does_not_answer_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: str) -> Depth:
        await asyncio.Event().wait()
        return DEPTH

    monkeypatch.setattr(world.queues, "depth", hang)
    monkeypatch.setattr(overview, "PATIENCE", timedelta(milliseconds=10))

    async with asyncio.timeout(60):
        told = await world.overview(OPERATOR)

    assert [each.depth for each in told] == [None] * len(RUNTIMES)


async def test_today_is_summed_up_again_after_a_while_and_on_the_next_day(
    world: World,
) -> None:
    async def today() -> list[int]:
        return [each.today.tasks for each in await world.overview(OPERATOR)]

    used(world, "studio")
    assert await today() == [1, 0, 0]
    used(world, "rival")
    used(world, "rival", COMFY.name)
    assert await today() == [1, 0, 0]
    world.now += FRESH
    assert await today() == [2, 0, 1]
    world.now = NOW + timedelta(days=1)
    assert await today() == [0, 0, 0]
    assert FIXED.name == "fixed"


async def test_what_is_kept_of_tenants_is_forgotten(world: World) -> None:
    for number in range(5):
        world.now += FRESH
        await world.overview(Reader(tenant=f"tenant-{number}"))

    assert len(world.today._kept) == 1
    assert EVERYBODY not in world.today._kept
