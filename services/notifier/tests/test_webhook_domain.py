"""What is signed, what is wanted, and when a try is made again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from notifier_fakes import DONE, FAILED, NOW, RECORD
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from webhook_fakes import SECRET, USUAL, WEBHOOK

from contracts.state import TaskState
from ledger.transitions import finish
from notifier.domain import callback_of
from notifier.webhooks.domain import (
    OLD_SECRET_KEPT,
    Webhook,
    WebhookState,
    event_of,
    new_secret,
)

BODY = b'{"type":"webhook.test"}'


def accepts(secret: str, webhook: Webhook, now: datetime) -> bool:
    """Whether a receiver that has this secret takes the request."""
    try:
        Verifier(secret).verify(BODY, webhook.headers("msg_1", BODY, now))
    except WebhookVerificationError:
        return False
    return True


def test_a_request_is_signed_with_the_old_secret_too_for_a_day() -> None:
    now, new = datetime.now(UTC), new_secret()
    rotated = WEBHOOK.rotated(new, now)
    later = rotated.model_copy(
        update={"secrets": WEBHOOK.rotated(new, now - OLD_SECRET_KEPT).secrets}
    )

    assert accepts(SECRET, WEBHOOK, now)
    assert not accepts(new, WEBHOOK, now)
    assert accepts(SECRET, rotated, now)
    assert accepts(new, rotated, now)
    assert not accepts(SECRET, later, now)
    assert accepts(new, later, now)
    assert len(rotated.rotated(new_secret(), now).secrets) == 2


def test_neither_secret_nor_url_is_shown_in_a_log() -> None:
    assert SECRET not in repr(WEBHOOK)
    assert "token" not in repr(WEBHOOK)


def test_an_event_is_the_callback_with_its_type_and_time_the_same_each_time() -> None:
    ended = finish(RECORD, DONE, NOW)

    event = event_of(ended)

    said = {"type": "task.completed", "timestamp": NOW.isoformat().replace("+00:00", "Z")}
    assert json.loads(event.body) == callback_of(ended).model_dump(mode="json") | said
    assert event == event_of(replace(ended, callback_due=False))


@pytest.mark.parametrize(
    ("webhook", "record", "wanted"),
    [
        ({}, {}, True),
        ({}, {"state": TaskState.FAILED}, True),
        ({}, {"state": TaskState.CANCELLED}, False),
        ({}, {"state": TaskState.RUNNING}, False),
        ({}, {"tenant": "rival"}, False),
        ({"runtime": "sdruntime"}, {}, True),
        ({"runtime": "comfyruntime"}, {}, False),
        ({"state": WebhookState.ENDED}, {}, False),
    ],
)
def test_a_webhook_is_told_of_what_it_wants(
    webhook: dict[str, object], record: dict[str, object], wanted: bool
) -> None:
    ended = finish(RECORD, DONE if "state" not in record else FAILED, NOW)

    found = WEBHOOK.model_copy(update=webhook).wants(replace(ended, **record))  # type: ignore[arg-type]  # of any field

    assert found is wanted


def test_pauses_grow_from_seconds_to_a_day_and_end_after_about_three_days() -> None:
    pauses = [USUAL.pause(tries) for tries in range(1, USUAL.tries)]

    assert timedelta(seconds=5) <= pauses[0] <= timedelta(seconds=7)
    assert timedelta(hours=19) <= pauses[-1] <= timedelta(hours=24)
    assert timedelta(days=2) <= sum(pauses, timedelta()) <= timedelta(days=4)
    assert len({USUAL.pause(5) for _ in range(5)}) > 1


def test_a_host_is_told_without_its_port() -> None:
    assert WEBHOOK.host == "studio.example.com"
