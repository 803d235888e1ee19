"""What becomes of one message, decision by decision."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from notifier_fakes import DONE, NOW, RECORD, UID
from webhook_fakes import USUAL, WEBHOOK, FakeJobs, FakeSender, FakeStore, webhooks

from contracts.ids import new_uid
from ledger.memory import MemoryLedger
from ledger.transitions import finish
from notifier.webhooks.consumer import Consumer
from notifier.webhooks.deliver import Deliver
from notifier.webhooks.domain import (
    DeliveryState,
    EventJob,
    Job,
    ReplayJob,
    TestJob,
)
from notifier.webhooks.hosts import Hosts
from notifier.webhooks.ports import Answer, Received
from notifier.webhooks.replay import PAGE, Replay
from servicekit.errors import TransientError

JOB = EventJob(tenant="studio", webhook=WEBHOOK.id, uid=UID)


@dataclass
class Given:
    """The use case with fakes around it, a webhook and a task that has ended."""

    now: datetime = NOW
    store: FakeStore = field(default_factory=lambda: FakeStore(webhooks(WEBHOOK)))
    jobs: FakeJobs = field(default_factory=FakeJobs)
    sender: FakeSender = field(default_factory=FakeSender)
    hosts: Hosts = field(default_factory=lambda: Hosts(4))
    ledger: MemoryLedger = field(
        default_factory=lambda: MemoryLedger({UID: finish(RECORD, DONE, NOW)})
    )

    async def handed(self, job: Job | str = JOB, receives: int = 1) -> str:
        """Hand a message over, and tell what became of it."""
        body = job if isinstance(job, str) else job.model_dump_json()
        receipt = f"r{receives}"
        deliver = Deliver(
            store=self.store,
            jobs=self.jobs,
            ledger=self.ledger,
            sender=self.sender,
            replay=Replay(ledger=self.ledger, jobs=self.jobs),
            hosts=self.hosts,
            retries=USUAL,
            now=lambda: self.now,
        )
        await deliver(Received(body=body, receipt=receipt, receives=receives))
        if receipt in self.jobs.settled:
            return "settled"
        return "released" if receipt in dict(self.jobs.released) else "kept"


@pytest.fixture
def given() -> Given:
    return Given()


async def test_a_failure_is_tried_again_when_it_is_time_and_not_before(given: Given) -> None:
    given.sender.answer = Answer(status=503)
    assert await given.handed() == "released"
    (first,) = given.store.became.values()
    assert (first.state, first.tries, first.status) == (DeliveryState.RETRYING, 1, 503)
    assert first.next_try_at is not None

    given.now = first.next_try_at - timedelta(seconds=2)
    assert await given.handed(receives=2) == "released"
    assert given.jobs.released[-1] == ("r2", timedelta(seconds=2))
    assert len(given.sender.posted) == 1

    given.now, given.sender.answer = first.next_try_at, Answer(status=200)
    assert await given.handed(receives=3) == "settled"
    (last,) = given.store.became.values()
    assert (last.state, last.tries, last.error) == (DeliveryState.DELIVERED, 2, "")


async def test_the_twelfth_failure_is_the_last(given: Given) -> None:
    given.sender.answer = Answer(error="no answer within 15 s")
    for receives in range(1, 13):
        await given.handed(receives=receives)
        (delivery,) = given.store.became.values()
        given.now = delivery.next_try_at or given.now

    assert len(given.sender.posted) == 12
    assert given.jobs.parked == [("r12", "given up after 12 tries: no answer within 15 s")]
    assert given.now - NOW > timedelta(days=2)

    # Moved back, it begins anew, also if there was no room for it at first.
    given.sender.answer = Answer(status=200)
    assert await given.handed(given.jobs.parked_bodies[0], receives=14) == "settled"
    assert len(given.sender.posted) == 13


async def test_what_a_replay_has_delivered_meanwhile_is_not_tried_again(given: Given) -> None:
    given.sender.answer = Answer(status=500)
    await given.handed()
    given.sender.answer = Answer(status=200)
    await given.handed(receives=1)  # another message, of a replay

    assert await given.handed(receives=2) == "settled"
    assert len(given.sender.posted) == 2


async def test_what_was_given_up_is_parked_even_if_the_notifier_dies_before(
    given: Given,
) -> None:
    given.sender.answer = Answer(status=500)
    given.jobs.down = True
    for receives in range(1, 12):
        await given.handed(receives=receives)
        (delivery,) = given.store.became.values()
        given.now = delivery.next_try_at or given.now
    with pytest.raises(TransientError):
        await given.handed(receives=12)
    given.jobs.down = False

    assert await given.handed(receives=13) == "settled"
    assert given.jobs.parked == [("r13", "given up after 12 tries: the answer was 500")]
    assert len(given.sender.posted) == 12


async def test_a_replay_is_sent_though_the_event_was_delivered_and_its_host_was_full(
    given: Given,
) -> None:
    await given.handed(receives=5)
    replayed = JOB.model_copy(update={"replay": new_uid()})
    given.hosts = Hosts(4)
    assert await given.hosts.enter(WEBHOOK.host)
    assert await given.handed(replayed) == "released"
    given.hosts = Hosts(4)

    assert await given.handed(replayed, receives=2) == "settled"
    assert len(given.sender.posted) == 2


async def test_a_url_of_one_task_is_told_besides_and_cannot_end_the_webhook(
    given: Given,
) -> None:
    ended = given.ledger.records[UID]
    url = "https://studio.example.com/of-one"
    given.ledger.records[UID] = replace(ended, callback_url=url)
    own = JOB.model_copy(update={"own_url": True})
    await given.handed(receives=5)
    given.sender.answer = Answer(status=410)

    assert await given.handed(own) == "settled"
    (sent, one), (sent_too, two) = [
        (url, (headers["webhook-id"], body)) for url, headers, body in given.sender.posted
    ]
    assert (sent, sent_too) == (WEBHOOK.url, url)
    assert one == two
    assert given.store.kept == webhooks(WEBHOOK)
    assert await given.handed(own, receives=2) == "settled"
    assert (len(given.sender.posted), given.jobs.parked) == (2, [])


async def test_what_a_later_replay_tries_is_left_to_it(given: Given) -> None:
    given.sender.answer = Answer(status=500)
    await given.handed(JOB.model_copy(update={"replay": new_uid()}))

    assert await given.handed(receives=2) == "settled"
    assert len(given.sender.posted) == 1


@pytest.mark.parametrize("answer", [301, 307, 400, 404, 429, 500])
async def test_what_is_not_2xx_is_a_failure(given: Given, answer: int) -> None:
    given.sender.answer = Answer(status=answer)

    assert await given.handed() == "released"


async def test_nothing_is_sent_to_a_webhook_that_was_removed(given: Given) -> None:
    given.store.kept = {}

    assert await given.handed() == "settled"
    assert given.sender.posted == []


async def test_a_record_that_has_expired_is_nothing_to_tell(given: Given) -> None:
    given.ledger.records.clear()

    assert await given.handed() == "settled"
    assert given.sender.posted == []


async def test_what_is_no_message_of_ours_is_parked_with_the_reason(given: Given) -> None:
    await given.handed('{"kind": "party"}')

    assert given.jobs.parked == [("r1", "it is no message of webhooks")]


async def test_a_test_needs_no_task(given: Given) -> None:
    job = TestJob(tenant="studio", webhook=WEBHOOK.id)

    assert await given.handed(job) == "settled"
    ((_, headers, body),) = given.sender.posted
    assert headers["webhook-id"] == f"msg_{job.uid}"
    assert b'"type":"webhook.test"' in body


async def test_a_full_host_has_its_messages_come_again(given: Given) -> None:
    assert await given.hosts.enter(WEBHOOK.host)

    assert await given.handed() == "released"
    assert given.jobs.released == [("r1", timedelta(seconds=1))]
    assert (given.sender.posted, given.store.became) == ([], {})


async def test_a_replay_finds_what_ended_in_its_time_page_by_page(given: Given) -> None:
    ended = given.ledger.records.pop(UID)
    # Uids have the present time: that of their submission.
    submitted = datetime.now(NOW.tzinfo)
    day = timedelta(days=1)
    for number in range(PAGE + 50):
        uid = new_uid()
        wanted = number % 3 == 0
        finished = submitted + (timedelta(minutes=1) if wanted else 2 * day)
        given.ledger.records[uid] = replace(ended, uid=uid, finished_at=finished)
    job: Job = ReplayJob(
        tenant="studio", webhook=WEBHOOK.id, since=submitted, until=submitted + day
    )

    told: list[str] = []
    for receives in (1, 2):
        assert await given.handed(job, receives) == "settled"
        events = [each for each in given.jobs.sent if isinstance(each, EventJob)]
        told += [each.uid for each in events]
        assert isinstance(job, ReplayJob)
        assert {each.replay for each in events} == {job.id}
        following = [each for each in given.jobs.sent if isinstance(each, ReplayJob)]
        given.jobs.sent.clear()
        if following:
            (job,) = following
    assert sorted(told) == sorted(given.ledger.records)[::3]
    assert following == []


async def test_the_consumer_has_no_more_in_hand_than_fit(given: Given) -> None:
    inside, most_inside, release, stop = 0, 0, asyncio.Event(), asyncio.Event()
    for number in range(25):
        given.jobs.ready.put_nowait(Received(body="", receipt=str(number), receives=1))

    async def deliver(received: Received) -> None:
        nonlocal inside, most_inside
        inside += 1
        most_inside = max(most_inside, inside)
        await release.wait()
        inside -= 1
        if received.receipt == "24":
            stop.set()
            given.jobs.ready.put_nowait(received)  # ends the last receive
        raise TransientError("which does not end the others")

    consumer = Consumer(jobs=given.jobs, deliver=deliver, most=12)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(consumer.run_until_stopped(stop))
        while inside < 12:  # noqa: ASYNC110  # until the others had their turns
            await asyncio.sleep(0)
        release.set()
        await running

    assert most_inside == 12
