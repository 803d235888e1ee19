from __future__ import annotations

import base64
import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from darkroom_client import DarkroomError, InvalidSignature, parse_callback, parse_webhook

CALLBACK: dict[str, Any] = {
    "id": "first",
    "result": True,
    "image_url": ["s3://darkroom-output/output/first/first-4b6b-1.png"],
    "output_url": "s3://darkroom-output/output/first/first-4b6b.out",
    "context": {"order": 7},
    "runtime": "sdruntime",
    "status": "completed",
    "uid": "01M82Y728ZPK76NSE40QBMX7G4",
    "error": None,
}


def secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(24)).decode()


def signed(
    body: str, *secrets: str, event: str = "msg_1", late: timedelta = timedelta(0)
) -> dict[str, str]:
    """Headers as the package of the specification's authors makes them."""
    moment = datetime.now(timezone.utc) - late
    signatures = [Webhook(each).sign(event, moment, body) for each in secrets]
    return {
        "Webhook-Id": event,
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": " ".join(signatures),
    }


@pytest.mark.parametrize("kind", ["text", "bytes", "object", "envelope"])
def test_callback_is_read_raw_and_out_of_the_envelope_of_sns(kind: str) -> None:
    text = json.dumps(CALLBACK)
    bodies: dict[str, str | bytes | dict[str, Any]] = {
        "text": text,
        "bytes": text.encode(),
        "object": CALLBACK,
        "envelope": json.dumps({"Type": "Notification", "Message": text, "MessageId": "x"}),
    }

    callback = parse_callback(bodies[kind])

    assert (callback.uid, callback.status, callback.context) == (
        CALLBACK["uid"], "completed", {"order": 7}
    )  # fmt: skip
    assert callback.image_url == tuple(CALLBACK["image_url"])
    assert callback.raw == CALLBACK


def test_failure_in_a_callback_is_typed() -> None:
    error = {"code": "no_output", "message": "m", "retryable": False}
    callback = parse_callback(
        {**CALLBACK, "result": False, "status": "failed", "image_url": [], "error": error}
    )

    assert callback.error is not None
    assert callback.error.code == "no_output"


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"Type": "Notification", "Message": "x"}'])
def test_what_is_no_callback_is_one_sentence(body: str) -> None:
    with pytest.raises(DarkroomError, match="this is no callback"):
        parse_callback(body)


@pytest.mark.parametrize("wrapped", [True, False])
def test_webhook_that_the_secret_has_signed_is_read(wrapped: bool) -> None:
    key = secret()
    event = {"type": "task.completed", "timestamp": "2026-11-27T00:00:00Z", "data": CALLBACK}
    body = json.dumps(event if wrapped else CALLBACK)
    headers = signed(body, key)
    Webhook(key).verify(body, {name.lower(): value for name, value in headers.items()})

    read = parse_webhook(body.encode(), headers, key)
    assert read is not None
    assert read.uid == CALLBACK["uid"]


def test_secrets_that_rotate_are_both_taken() -> None:
    old, new = secret(), secret()
    body = json.dumps(CALLBACK)

    assert parse_webhook(body, signed(body, old, new), new)
    assert parse_webhook(body, signed(body, old), [new, old])


@pytest.mark.parametrize("late", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_webhook_of_another_time_is_refused(late: timedelta) -> None:
    key, body = secret(), json.dumps(CALLBACK)
    headers = signed(body, key, late=late)
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(body, {name.lower(): value for name, value in headers.items()})

    with pytest.raises(InvalidSignature, match="another time"):
        parse_webhook(body, headers, key)


def test_webhook_of_some_minutes_ago_is_taken() -> None:
    key, body = secret(), json.dumps(CALLBACK)

    assert parse_webhook(body, signed(body, key, late=timedelta(minutes=4)), key)


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Id": "msg_2"},
        {"Webhook-Signature": "v1,AAAA"},
        {"Webhook-Signature": "v1a,é"},
        {"Webhook-Signature": ""},
    ],
)
def test_webhook_that_was_changed_is_refused(change: dict[str, str]) -> None:
    key, body = secret(), json.dumps(CALLBACK)

    with pytest.raises(InvalidSignature, match="no secret has signed"):
        parse_webhook(body, {**signed(body, key), **change}, key)
    with pytest.raises(InvalidSignature, match="no secret has signed"):
        parse_webhook(body + " ", signed(body, key), key)
    with pytest.raises(InvalidSignature, match="no secret has signed"):
        parse_webhook(body, signed(body, key), secret())


@pytest.mark.parametrize("headers", [{}, {"webhook-id": "x", "webhook-timestamp": "now",
                                          "webhook-signature": "v1,x"}])  # fmt: skip
def test_webhook_without_its_headers_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature, match="headers"):
        parse_webhook("{}", headers, secret())


@pytest.mark.parametrize("none", ["whsec_?", "whsec_", "", "é"])
def test_secret_that_is_none_is_told(none: str) -> None:
    body = json.dumps(CALLBACK)

    with pytest.raises(InvalidSignature, match="a secret is no whsec_"):
        parse_webhook(body, signed(body, secret()), none)


def test_the_event_of_a_test_is_of_no_task() -> None:
    key = secret()
    body = json.dumps({"type": "webhook.test", "timestamp": "2026-01-02T03:04:05Z", "uid": "x"})
    assert parse_webhook(body, signed(body, key), key) is None
