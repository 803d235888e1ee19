"""Webhooks end to end in the notifier: from the end of a task to a stranger's server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from notifier_fakes import FAILED
from webhook_parts import ALL, LOOPBACK, SOON, WAIT_SECONDS, Receiver, Room, receiver, room

from contracts.ids import new_uid
from egress.addresses import AddressRules
from notifier.webhooks.domain import DeliveryState, EventJob, Retries, WebhookState

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
async def hooks() -> AsyncIterator[Room]:
    async with room() as made:
        yield made


async def test_the_end_of_a_task_reaches_its_tenants_webhook_signed(
    hooks: Room, there: Receiver
) -> None:
    webhook, secret = await hooks.manage.create("studio", there.url("/in"), ALL, "")
    await hooks.manage.create("rival", there.url("/rival"), ALL, "")
    record = await hooks.ended(FAILED)

    await hooks.announce.announce(record)
    async with hooks.consuming():
        await hooks.delivered(webhook.id, record.uid, DeliveryState.DELIVERED)

    (event,) = there.verified("/in", secret)
    assert (event["type"], event["uid"], event["result"]) == ("task.failed", record.uid, False)
    assert datetime.fromisoformat(event["timestamp"]) == record.finished_at
    ((headers, _),) = there.requests["/in"]
    assert headers["webhook-id"] == f"msg_{record.uid}"
    assert headers["Content-Type"] == "application/json"
    assert there.requests["/rival"] == []


async def test_a_receiver_that_fails_six_times_gets_the_same_event_a_seventh_time(
    hooks: Room, there: Receiver
) -> None:
    async def six_times(count: int) -> int:
        return 500 if count <= 6 else 200

    there.answers["/in"] = six_times
    webhook, secret = await hooks.manage.create("studio", there.url("/in"), ALL, "")
    record = await hooks.ended()

    await hooks.announce.announce(record)
    async with hooks.consuming():
        delivery = await hooks.delivered(webhook.id, record.uid, DeliveryState.DELIVERED)

    assert (delivery.tries, delivery.status, delivery.error) == (7, 200, "")
    assert len(there.verified("/in", secret)) == 7
    assert len({(h["webhook-id"], body) for h, body in there.requests["/in"]}) == 1
    assert await hooks.parked() == []


async def test_a_receiver_that_hangs_is_given_up_with_the_reason(there: Receiver) -> None:
    forever = asyncio.Event()

    async def hang(_: int) -> int:
        await forever.wait()
        return 200

    there.answers["/in"] = hang
    retries = Retries(first=SOON.first, longest=SOON.longest, tries=3)
    async with room(retries=retries, patience=timedelta(milliseconds=100)) as hooks:
        webhook, _ = await hooks.manage.create("studio", there.url("/in"), ALL, "")
        record = await hooks.ended()

        await hooks.announce.announce(record)
        async with hooks.consuming():
            delivery = await hooks.delivered(webhook.id, record.uid, DeliveryState.FAILED)
        (message,) = await hooks.parked()
    forever.set()

    assert (delivery.tries, delivery.status) == (3, 0)
    assert delivery.error == "no answer within 0.1 s"
    job = EventJob.model_validate_json(message["Body"])
    assert (job.webhook, job.uid) == (webhook.id, record.uid)
    reason = message["MessageAttributes"]["reason"]["StringValue"]
    assert reason == "given up after 3 tries: no answer within 0.1 s"


async def test_an_answer_of_410_ends_the_webhook(hooks: Room, there: Receiver) -> None:
    async def gone(_: int) -> int:
        return 410

    there.answers["/in"] = gone
    webhook, _ = await hooks.manage.create("studio", there.url("/in"), ALL, "")
    records = [await hooks.ended() for _ in range(2)]

    async with hooks.consuming():
        await hooks.announce.announce(records[0])
        await hooks.delivered(webhook.id, records[0].uid, DeliveryState.FAILED)
        # One that was queued before is not sent either.
        await hooks.jobs.send(
            [EventJob(tenant="studio", webhook=webhook.id, uid=records[1].uid)]
        )
        await hooks.announce.announce(records[1])

    (kept,) = await hooks.manage.list("studio")
    assert kept.state is WebhookState.ENDED
    assert len(there.requests["/in"]) == 1
    assert await hooks.parked() == []


async def test_a_redirect_is_not_followed(hooks: Room, there: Receiver) -> None:
    async def moved(count: int) -> int:
        return 307 if count == 1 else 200

    there.answers["/in"] = moved
    webhook, _ = await hooks.manage.create("studio", there.url("/in"), ALL, "")
    record = await hooks.ended()

    await hooks.announce.announce(record)
    async with hooks.consuming():
        delivery = await hooks.delivered(webhook.id, record.uid, DeliveryState.DELIVERED)

    assert (delivery.tries, there.requests["/elsewhere"]) == (2, [])


async def test_a_name_that_leads_to_this_machine_is_never_connected_to(
    there: Receiver,
) -> None:
    retries = Retries(first=SOON.first, longest=SOON.longest, tries=1)
    async with room(rules=AddressRules(), retries=retries) as hooks:
        allowing = replace(hooks.manage, rules=LOOPBACK)  # as if it led elsewhere then
        url = there.url("/in", "localhost")
        webhook, _ = await allowing.create("studio", url, ALL, "")
        record = await hooks.ended()

        await hooks.announce.announce(record)
        async with hooks.consuming():
            delivery = await hooks.delivered(webhook.id, record.uid, DeliveryState.FAILED)

    assert delivery.error == "the host has an address that is not public (loopback)"
    assert there.requests == {}


async def test_a_host_that_hangs_takes_one_place_whatever_waits_for_it(
    hooks: Room, there: Receiver
) -> None:
    forever = asyncio.Event()

    async def hang(_: int) -> int:
        await forever.wait()
        return 200

    there.answers["/slow"] = hang
    slow, _ = await hooks.manage.create("studio", there.url("/slow"), ALL, "")
    good, _ = await hooks.manage.create("studio", there.url("/good", "127.0.0.2"), ALL, "")
    jobs = [
        EventJob(tenant="studio", webhook=slow.id, uid=(await hooks.ended()).uid)
        for _ in range(30)
    ]
    last = await hooks.ended()

    await hooks.jobs.send([*jobs, EventJob(tenant="studio", webhook=good.id, uid=last.uid)])
    async with hooks.consuming(most=4):  # fewer than wait for the slow one
        await hooks.delivered(good.id, last.uid, DeliveryState.DELIVERED)
        hanging = len(there.requests["/slow"])
        forever.set()

    assert hanging == 1


async def test_of_a_thousand_events_each_arrives_though_some_requests_fail(
    hooks: Room, there: Receiver
) -> None:
    fails = random.Random(20260102)  # noqa: S311  # the same each run

    async def mostly(_: int) -> int:
        return 503 if fails.random() < 0.05 else 200

    there.answers["/in"] = mostly
    webhook, secret = await hooks.manage.create("studio", there.url("/in"), ALL, "")
    record = await hooks.ended()
    uids = [new_uid() for _ in range(1000)]

    expected = {f"msg_{uid}" for uid in uids}
    for uid in uids:
        await hooks.ledger.create(replace(record, uid=uid))
    await hooks.jobs.send(
        [EventJob(tenant="studio", webhook=webhook.id, uid=uid) for uid in uids]
    )
    async with hooks.consuming(), asyncio.timeout(WAIT_SECONDS), there.came:
        await there.came.wait_for(
            lambda: {h["webhook-id"] for h, _ in there.requests["/in"]} == expected
        )

    assert len(there.verified("/in", secret)) > 1000
