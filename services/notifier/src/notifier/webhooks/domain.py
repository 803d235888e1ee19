"""Webhooks, what is sent to them, and when a failed try is made again. Pure."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import uniform
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from standardwebhooks import Webhook as Signer
from ulid import ULID
from yarl import URL

from contracts.callback import TerminalStatus
from contracts.ids import Uid, UidField, new_uid
from contracts.webhook import TEST, EventType, TaskEvent, TestEvent
from ledger.record import Record
from notifier.domain import callback_of

SECRET_BYTES: Final = 32
OLD_SECRET_KEPT: Final = timedelta(hours=24)
JITTER: Final = 1.25  # the most that a pause is stretched by
GROWTH: Final = 3  # of the pause from one try to the next


class WebhookState(StrEnum):
    """Whether anything is sent."""

    ACTIVE = "active"
    ENDED = "ended"  # its host has answered 410


class Secret(BaseModel):
    """What requests are signed with; kept as it is, for signing takes the whole of it."""

    model_config = ConfigDict(frozen=True)

    text: str = Field(repr=False)
    until: AwareDatetime | None = None  # None: until it is replaced


class Webhook(BaseModel):
    """Where a tenant wants to be told of what."""

    model_config = ConfigDict(frozen=True)

    id: str
    tenant: str
    url: str = Field(repr=False)
    events: tuple[TerminalStatus, ...]
    runtime: str = ""  # empty: of all
    secrets: tuple[Secret, ...]  # the newest first
    state: WebhookState = WebhookState.ACTIVE
    created_at: AwareDatetime

    @property
    def active(self) -> bool:
        """Whether anything is sent."""
        return self.state is WebhookState.ACTIVE

    @property
    def host(self) -> str:
        """Where its requests go, for limits."""
        return URL(self.url).raw_host or ""

    def wants(self, record: Record) -> bool:
        """Whether it is told of the end of this task."""
        return (
            self.active
            and record.tenant == self.tenant
            and record.state in self.events
            and self.runtime in {"", record.runtime}
        )

    def covers(self, url: str) -> bool:
        """Whether a task may name this URL: it is on the same scheme, host and port."""
        return self.active and _origin(url) == _origin(self.url)

    def rotated(self, secret: str, now: datetime) -> Webhook:
        """It with a new secret; the present one is good for a day more."""
        old = self.secrets[0].model_copy(update={"until": now + OLD_SECRET_KEPT})
        return self.model_copy(update={"secrets": (Secret(text=secret), old)})

    def headers(self, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
        """What Standard Webhooks has a request say, signed with every secret that is good."""
        good = [one.text for one in self.secrets if one.until is None or one.until > now]
        signed = (Signer(secret).sign(message_id, now, body.decode()) for secret in good)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signed),
        }


def _origin(text: str) -> tuple[str, str | None, int | None]:
    url = URL(text)
    return url.scheme, url.raw_host, url.port


def new_secret() -> str:
    """A secret that nobody can guess, as Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


class EventJob(BaseModel):
    """Tell a webhook of a task that has ended."""

    kind: Literal["event"] = "event"
    tenant: str
    webhook: str
    uid: UidField
    replay: str = ""  # that asks for it, later ones are greater; empty: the end of the task
    own_url: bool = False  # whether it goes to the URL that the task names


class TestJob(BaseModel):
    """Try a webhook."""

    __test__ = False  # pytest takes the name for tests

    kind: Literal["test"] = "test"
    tenant: str
    webhook: str
    uid: UidField = Field(default_factory=new_uid)
    replay: str = ""
    own_url: Literal[False] = False


class ReplayJob(BaseModel):
    """Tell a webhook again of the tasks that ended in a time; one page, then the next."""

    kind: Literal["replay"] = "replay"
    tenant: str
    webhook: str
    id: UidField = Field(default_factory=new_uid)
    since: AwareDatetime
    until: AwareDatetime
    before: UidField | None = None  # where the page begins; None: at the newest


Job = EventJob | TestJob | ReplayJob
AnyJob = Annotated[Job, Field(discriminator="kind")]


class DeliveryState(StrEnum):
    """What became of an event."""

    DELIVERED = "delivered"
    RETRYING = "retrying"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one event of one webhook."""

    webhook: str
    uid: Uid
    event: EventType
    state: DeliveryState
    tries: int
    status: int  # of the last answer; 0 if there was none
    error: str  # why the last try failed; empty if it did not
    tried_at: datetime
    next_try_at: datetime | None = None
    replay: str = ""  # the one of its job
    own_url: bool = False  # whether it was for the URL that the task names


@dataclass(frozen=True, slots=True)
class Event:
    """What is sent: the same one each time, so that a receiver knows what it has seen."""

    type: EventType
    body: bytes


def event_of(record: Record) -> Event:
    """The event of a task that has ended."""
    if record.finished_at is None:
        raise ValueError("the task has not ended")
    callback = callback_of(record)
    event = TaskEvent.model_validate(
        {
            **callback.model_dump(),
            "type": f"task.{callback.status}",
            "timestamp": record.finished_at,
        }
    )
    return Event(event.type, event.model_dump_json().encode())


def test_event(uid: Uid) -> Event:
    """The event of a test."""
    event = TestEvent(uid=uid, timestamp=ULID.from_str(uid).datetime)
    return Event(TEST, event.model_dump_json().encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often an event is tried, and how long after a failure."""

    first: timedelta
    longest: timedelta
    tries: int

    def pause(self, tries: int) -> timedelta:
        """How long to wait after that many failed tries, each time a little different."""
        usual = min(self.first * float(GROWTH ** (tries - 1)), self.longest / JITTER)
        return usual * uniform(1, JITTER)  # noqa: S311  # spreads load, guards nothing
