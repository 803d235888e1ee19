"""The end of a task is queued for those who want it, and costs nothing where nobody does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from notifier_fakes import DONE, NOW, RECORD, UID, World
from webhook_fakes import WEBHOOK, FakeJobs, FakeStore, webhooks

from contracts.ids import new_uid
from ledger.transitions import finish
from notifier.webhooks.announce import Announce
from notifier.webhooks.domain import EventJob
from servicekit.errors import TransientError

ENDED = finish(RECORD, DONE, NOW)


@dataclass
class Given:
    now: float = 0
    store: FakeStore = field(default_factory=lambda: FakeStore(webhooks(WEBHOOK)))
    jobs: FakeJobs = field(default_factory=FakeJobs)

    def __post_init__(self) -> None:
        self.announce = Announce(
            store=self.store,
            jobs=self.jobs,
            fresh=timedelta(seconds=5),
            clock=lambda: self.now,
        ).announce


@pytest.fixture
def given() -> Given:
    return Given()


async def test_each_webhook_that_wants_the_event_gets_a_message(given: Given) -> None:
    other = WEBHOOK.model_copy(update={"id": "wh_2", "events": ("cancelled",)})
    third = WEBHOOK.model_copy(update={"id": "wh_3"})
    given.store.kept = webhooks(WEBHOOK, other, third)

    await given.announce(ENDED)

    assert given.jobs.sent == [
        EventJob(tenant="studio", webhook=id, uid=UID) for id in (WEBHOOK.id, "wh_3")
    ]


async def test_the_url_that_a_task_names_gets_a_message_of_its_own(given: Given) -> None:
    ended = replace(ENDED, callback_url="https://studio.example.com/of-one")
    await given.announce(ended)
    event = EventJob(tenant="studio", webhook=WEBHOOK.id, uid=UID)
    assert given.jobs.sent == [event, event.model_copy(update={"own_url": True})]

    given.jobs.sent.clear()  # its webhook wants nothing of it, and one is removed
    given.now = 60
    given.store.kept = webhooks(WEBHOOK.model_copy(update={"events": ("cancelled",)}))
    await given.announce(ended)
    await given.announce(replace(ended, callback_url="https://removed.example.com/"))
    assert given.jobs.sent == [event.model_copy(update={"own_url": True})]


async def test_a_tenant_without_webhooks_costs_one_look_for_all_its_tasks(
    given: Given,
) -> None:
    for _ in range(5):
        await given.announce(replace(ENDED, uid=new_uid(), tenant="rival"))

    assert (given.store.asked, given.jobs.sent) == (["tenants"], [])


async def test_a_webhook_is_known_after_a_while(given: Given) -> None:
    given.store.kept = {}
    await given.announce(ENDED)
    given.store.kept = webhooks(WEBHOOK)
    given.now = 4.9
    await given.announce(ENDED)
    assert given.jobs.sent == []

    given.now = 5
    await given.announce(ENDED)
    assert len(given.jobs.sent) == 1


async def test_a_callback_stays_due_until_its_webhooks_are_queued(world: World) -> None:
    world.webhooks.down = True
    with pytest.raises(TransientError):
        await world.settle.finish(UID, DONE)
    assert world.record.callback_due

    world.webhooks.down = False
    await world.settle.finish(UID, DONE)
    assert world.webhooks.announced == [UID]
    assert not world.record.callback_due
