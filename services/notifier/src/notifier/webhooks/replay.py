"""Telling a webhook again of the tasks that ended in a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ulid import ULID

from contracts.ids import Uid
from ledger.port import Ledger, OfTenant
from notifier.webhooks.domain import EventJob, ReplayJob, Webhook
from notifier.webhooks.ports import Jobs

PAGE: Final = 100
# Tasks are found by when they were submitted. One that took longer to its end is not.
LONGEST: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Goes through a tenant's tasks a page a message, so that it may take long."""

    ledger: Ledger
    jobs: Jobs

    async def page(self, webhook: Webhook, job: ReplayJob) -> None:
        """Queue what a page has of events, and the next page; raises `TransientError`.

        If it is repeated, so are its events.
        """
        page = await self.ledger.page(
            OfTenant(tenant=webhook.tenant, runtime=webhook.runtime),
            state=None,
            limit=PAGE,
            before=job.before or _after(job.until),
        )
        earliest = job.since - LONGEST
        more = page.next_before is not None and _moment(page.next_before) >= earliest
        events = [
            EventJob(tenant=webhook.tenant, webhook=webhook.id, uid=record.uid, replay=job.id)
            for record in page.records
            if webhook.wants(record)
            and record.finished_at is not None
            and job.since <= record.finished_at <= job.until
        ]
        following = [job.model_copy(update={"before": page.next_before})] if more else []
        if events or following:
            await self.jobs.send([*events, *following])


def _after(moment: datetime) -> Uid:
    """A uid that is later than all of that moment."""
    return Uid(str(ULID.from_datetime(moment + timedelta(milliseconds=1))))


def _moment(uid: Uid) -> datetime:
    return ULID.from_str(uid).datetime
