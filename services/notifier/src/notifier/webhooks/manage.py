"""Adding, changing and removing webhooks, and asking what became of their events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, get_args

from contracts.callback import TerminalStatus
from contracts.ids import Uid, name, new_uid
from egress.addresses import AddressRules
from egress.connections import check_host
from egress.urls import RefusedUrlError, checked
from notifier.webhooks.domain import (
    OLD_SECRET_KEPT,
    Delivery,
    ReplayJob,
    Secret,
    TestJob,
    Webhook,
    new_secret,
)
from notifier.webhooks.ports import Jobs, Store, Webhooks
from servicekit.errors import FieldError, RejectedError

MOST: Final = 20  # of a tenant: all of them are in one item of the table
URL_CHARACTERS: Final = 2048
RESOLVING: Final = timedelta(seconds=3)  # the name of a new webhook's host
SHOWN: Final = 100  # deliveries
STATUSES: Final[tuple[TerminalStatus, ...]] = get_args(TerminalStatus)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manage:
    """Webhooks of one tenant a call; raises `RejectedError` and `TransientError`."""

    store: Store
    jobs: Jobs
    rules: AddressRules
    now: Callable[[], datetime] = _now

    async def create(
        self, tenant: str, url: str, events: Sequence[str], runtime: str
    ) -> tuple[Webhook, str]:
        """A new webhook and its secret."""
        secret = new_secret()
        webhook = Webhook(
            id=f"wh_{new_uid()}",
            tenant=tenant,
            url=await self._url(url),
            events=_events(events),
            runtime=_runtime(runtime),
            secrets=(Secret(text=secret),),
            created_at=self.now(),
        )

        def added(webhooks: Webhooks) -> Webhooks:
            if len(webhooks) >= MOST:
                raise RejectedError(
                    f"a tenant has {MOST} webhooks at most: remove one first",
                    code="webhook_limit",
                )
            return (*webhooks, webhook)

        await self.store.change(tenant, added)
        return webhook, secret

    async def list(self, tenant: str) -> Webhooks:
        """A tenant's webhooks, oldest first."""
        return await self.store.of(tenant)

    async def find(self, tenant: str, id: str) -> Webhook:
        """One webhook."""
        return _one(await self.store.of(tenant), id)

    async def delete(self, tenant: str, id: str) -> Webhook:
        """Remove a webhook; gives it as it was."""
        webhook = await self.find(tenant, id)

        def removed(webhooks: Webhooks) -> Webhooks:
            return tuple(one for one in webhooks if one.id != id)

        await self.store.change(tenant, removed)
        return webhook

    async def rotate(self, tenant: str, id: str) -> tuple[str, datetime]:
        """The new secret of a webhook, and how long the old one is used as well."""
        secret, now = new_secret(), self.now()

        def rotated(webhooks: Webhooks) -> Webhooks:
            found = _one(webhooks, id)
            new = found.rotated(secret, now)
            return tuple(new if one is found else one for one in webhooks)

        await self.store.change(tenant, rotated)
        return secret, now + OLD_SECRET_KEPT

    async def test(self, tenant: str, id: str) -> Uid:
        """Queue a test; gives its name among the deliveries."""
        webhook = await self._active(tenant, id)
        job = TestJob(tenant=tenant, webhook=webhook.id)
        await self.jobs.send([job])
        return job.uid

    async def replay(self, tenant: str, id: str, since: datetime, until: datetime) -> None:
        """Queue the events of the tasks that ended in that time."""
        webhook = await self._active(tenant, id)
        if since > until:
            raise _invalid("since", "must not be later than until")
        job = ReplayJob(tenant=tenant, webhook=webhook.id, since=since, until=until)
        await self.jobs.send([job])

    async def deliveries(self, tenant: str, id: str) -> Sequence[Delivery]:
        """What became of the newest events."""
        webhook = await self.find(tenant, id)
        return await self.store.deliveries(webhook.id, SHOWN)

    async def check_callback_url(self, tenant: str, url: str) -> None:
        """Return if a task of the tenant may name this URL."""
        try:
            checked(url)
        except RefusedUrlError as error:
            raise _invalid("callback_url", f"is refused: {error}") from None
        if not any(webhook.covers(url) for webhook in await self.store.of(tenant)):
            raise _invalid(
                "callback_url",
                "must be on the scheme, host and port of a webhook: add one first",
            )

    async def _active(self, tenant: str, id: str) -> Webhook:
        webhook = await self.find(tenant, id)
        if not webhook.active:
            raise RejectedError(
                "its host answered 410, which ended the webhook: add it again",
                code="webhook_ended",
            )
        return webhook

    async def _url(self, text: str) -> str:
        if len(text) > URL_CHARACTERS:
            raise _invalid("url", f"must not be longer than {URL_CHARACTERS} characters")
        try:
            await check_host(checked(text), self.rules, RESOLVING)
        except RefusedUrlError as error:
            raise _invalid("url", f"is refused: {error}") from None
        return text


def _one(webhooks: Webhooks, id: str) -> Webhook:
    for webhook in webhooks:
        if webhook.id == id:
            return webhook
    raise RejectedError("there is no such webhook", code="webhook_not_found")


def _events(events: Sequence[str]) -> tuple[TerminalStatus, ...]:
    chosen = tuple(status for status in STATUSES if status in events)
    if not chosen or set(events) != set(chosen):
        raise _invalid("events", f"must be some of {', '.join(STATUSES)}")
    return chosen


def _runtime(text: str) -> str:
    try:
        return name(text).lower()
    except ValueError as error:
        raise _invalid("runtime", str(error)) from None


def _invalid(field: str, message: str) -> RejectedError:
    return RejectedError(
        f"{field} {message}",
        code="invalid_request",
        errors=(FieldError(field, f"{field} {message}"),),
    )
