"""One message of the queue of webhooks: sent, or tried again later, or given up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from opentelemetry import metrics
from pydantic import TypeAdapter, ValidationError

from contracts.ids import new_uid
from ledger.port import Ledger
from notifier.webhooks.domain import (
    AnyJob,
    Delivery,
    DeliveryState,
    Event,
    EventJob,
    Job,
    ReplayJob,
    Retries,
    TestJob,
    Webhook,
    WebhookState,
    event_of,
    test_event,
)
from notifier.webhooks.hosts import Hosts
from notifier.webhooks.ports import Answer, Jobs, Received, Sender, Store, Webhooks
from notifier.webhooks.replay import Replay

log = logging.getLogger(__name__)
_JOB: Final[TypeAdapter[Job]] = TypeAdapter(AnyJob)
SECOND: Final = timedelta(seconds=1)  # SQS knows no less
_tries = metrics.get_meter(__name__).create_counter(
    "darkroom.webhooks.tries", unit="{request}", description="Requests to webhooks, by outcome"
)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Does what a message says; raises `AppError`, and then the message comes again."""

    store: Store
    jobs: Jobs
    ledger: Ledger
    sender: Sender
    replay: Replay
    hosts: Hosts
    retries: Retries
    now: Callable[[], datetime] = _now

    async def __call__(self, received: Received) -> None:
        """Send one message if it is time, and settle it when nothing more is to be done."""
        try:
            job = _JOB.validate_json(received.body)
        except ValidationError:
            await self.jobs.park(received, "it is no message of webhooks")
            return
        found = (one for one in await self.store.of(job.tenant) if one.id == job.webhook)
        webhook = next(found, None)
        if webhook is None or not webhook.active:
            await self.jobs.settle(received)
        elif isinstance(job, ReplayJob):
            await self.replay.page(webhook, job)
            await self.jobs.settle(received)
        elif self.hosts.is_full(webhook.host):
            await self._put_back(received, webhook)
        else:
            await self._deliver(received, webhook, job)

    async def _deliver(
        self, received: Received, webhook: Webhook, job: EventJob | TestJob
    ) -> None:
        before = await self._before(received, webhook, job)
        found = await self._event(webhook, job)
        if found is None or (before and _is_done(before, job)):
            await self.jobs.settle(received)
            return
        if before and before.state is DeliveryState.FAILED:
            await self._give_up(received, job, before)
            return
        early = _until(before, self.now())
        if early >= SECOND:
            await self.jobs.release(received, early)
            return
        event, url = found
        answer = await self._post(webhook, job, event, url)
        if answer is None:
            await self._put_back(received, webhook)
            return
        delivery = self._outcome(webhook, job, event, answer, before.tries if before else 0)
        await self._end(received, webhook, job, delivery)

    async def _before(
        self, received: Received, webhook: Webhook, job: EventJob | TestJob
    ) -> Delivery | None:
        """What became of earlier tries; None for a first one, or of a new replay."""
        if received.receives == 1:
            return None
        found = await self.store.delivery(webhook.id, job.uid, own_url=job.own_url)
        return found if found and found.replay >= job.replay else None

    async def _put_back(self, received: Received, webhook: Webhook) -> None:
        await self.jobs.release(received, max(self.hosts.wait(webhook.host), SECOND))

    async def _event(
        self, webhook: Webhook, job: EventJob | TestJob
    ) -> tuple[Event, str] | None:
        """What is sent, and where; None if there is nothing to tell."""
        if isinstance(job, TestJob):
            return test_event(job.uid), webhook.url
        record = await self.ledger.get(job.uid)
        if record is None or not record.terminal:
            return None
        return event_of(record), record.callback_url if job.own_url else webhook.url

    async def _post(
        self, webhook: Webhook, job: EventJob | TestJob, event: Event, url: str
    ) -> Answer | None:
        """What came of a request; None if the host has no place for one now."""
        if not await self.hosts.enter(webhook.host):
            return None
        began, answer = self.now(), Answer()
        try:
            headers = webhook.headers(f"msg_{job.uid}", event.body, began)
            answer = await self.sender.post(url, headers, event.body)
        finally:
            took = self.now() - began
            self.hosts.leave(webhook.host, took, answered=answer.status > 0)
        return answer

    def _outcome(
        self,
        webhook: Webhook,
        job: EventJob | TestJob,
        event: Event,
        answer: Answer,
        tries: int,
    ) -> Delivery:
        now = self.now()
        tried = Delivery(
            webhook=webhook.id,
            uid=job.uid,
            event=event.type,
            state=DeliveryState.DELIVERED,
            tries=tries + 1,
            status=answer.status,
            error="",
            tried_at=now,
            replay=job.replay,
            own_url=job.own_url,
        )
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return tried
        error = answer.error or f"the answer was {answer.status}"
        if answer.status == HTTPStatus.GONE or tried.tries >= self.retries.tries:
            return replace(tried, state=DeliveryState.FAILED, error=error)
        following = now + self.retries.pause(tried.tries)
        return replace(tried, state=DeliveryState.RETRYING, error=error, next_try_at=following)

    async def _end(
        self,
        received: Received,
        webhook: Webhook,
        job: EventJob | TestJob,
        delivery: Delivery,
    ) -> None:
        _tries.add(1, {"outcome": delivery.state})
        log.info(
            "webhook tried",
            extra={
                "uid": delivery.uid,
                "webhook": webhook.id,
                "state": delivery.state,
                "status": delivery.status,
                "tries": delivery.tries,
            },
        )
        if delivery.status == HTTPStatus.GONE and not delivery.own_url:
            await self.store.change(webhook.tenant, lambda all_: _ended(all_, webhook.id))
        await self.store.keep(delivery)
        if delivery.state is DeliveryState.RETRYING:
            await self.jobs.release(received, _until(delivery, self.now()))
        elif delivery.state is DeliveryState.FAILED and delivery.status != HTTPStatus.GONE:
            await self._give_up(received, job, delivery)
        else:
            await self.jobs.settle(received)

    async def _give_up(
        self, received: Received, job: EventJob | TestJob, delivery: Delivery
    ) -> None:
        """Park a message as a job that begins anew if it is moved back."""
        anew = job.model_copy(update={"replay": new_uid()})
        reason = f"given up after {delivery.tries} tries: {delivery.error}"
        await self.jobs.park(replace(received, body=anew.model_dump_json()), reason)


def _is_done(before: Delivery, job: EventJob | TestJob) -> bool:
    """Whether nobody has to be told any more, or a later replay sees to it."""
    return (
        before.state is DeliveryState.DELIVERED
        or before.status == HTTPStatus.GONE
        or before.replay > job.replay
    )


def _until(delivery: Delivery | None, now: datetime) -> timedelta:
    """How long it is until the next try."""
    following = delivery.next_try_at if delivery else None
    return following - now if following else timedelta()


def _ended(webhooks: Webhooks, id: str) -> Webhooks:
    ended = {"state": WebhookState.ENDED}
    return tuple(one.model_copy(update=ended) if one.id == id else one for one in webhooks)
