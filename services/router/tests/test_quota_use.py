from __future__ import annotations

from datetime import date, timedelta

import pytest
from router_fakes import NOW, OPERATOR, READER, World

from contracts.ids import new_uid
from ledger.open_tasks import Owner
from ledger.usage import Counts, Used
from router.quota_use import QuotaUse, Use
from servicekit.errors import RejectedError

BOT, OTHER = Owner("studio", "bot"), Owner("rival", "bot-2")


def used(world: World, owner: Owner, day: date) -> None:
    counts = Counts(tasks=1, images=2, cost_micros=300)
    world.ledger.counted.append(
        Used(tenant=owner.tenant, key=owner.key, runtime="fixed", day=day, counts=counts)
    )


def quota_use(world: World) -> QuotaUse:
    return QuotaUse(open_tasks=world.open_tasks, usage=world.ledger, now=lambda: NOW)


async def test_each_key_has_what_its_own_tasks_have_used(world: World) -> None:
    today = NOW.date()
    for day in (today, today, today.replace(day=1), today.replace(day=1) - timedelta(days=1)):
        used(world, BOT, day)
    used(world, OTHER, today)
    await world.open_tasks.take(BOT, new_uid(), 9)

    told = await quota_use(world)(OPERATOR, [OTHER, BOT, Owner("studio", "new")])

    assert told == [
        Use(open_tasks=0, images=2, cost_micros=300),
        Use(open_tasks=1, images=4, cost_micros=900),
        Use(open_tasks=0, images=0, cost_micros=0),
    ]


async def test_only_operators_are_told(world: World) -> None:
    with pytest.raises(RejectedError) as caught:
        await quota_use(world)(READER, [BOT])
    assert caught.value.code == "forbidden"
