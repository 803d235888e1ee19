"""What Darkroom tells by itself, read: callbacks of the result topic, and webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from darkroom_client.errors import DarkroomError, InvalidSignature, reason_of
from darkroom_client.results import Callback

Body = str | bytes | Mapping[str, Any]

TOLERANCE_SECONDS: Final = 300
TEST: Final = "webhook.test"  # the type of an event of no task


def parse_callback(body: Body) -> Callback:
    """The callback in a message of the result topic, raw or in the envelope of SNS.

    Raises `DarkroomError` if there is none. Nothing is verified: take messages from a queue
    that only the topic may send to.
    """
    content = _content(body)
    if content.get("Type") == "Notification" and isinstance(content.get("Message"), str):
        content = _content(content["Message"])
    return _callback(content)


def parse_webhook(
    body: str | bytes, headers: Mapping[str, str], secret: str | Iterable[str]
) -> Callback | None:
    """The event of a webhook that one of the secrets has signed, by Standard Webhooks.

    None if it is a test (`darkroom webhooks test`), which is of no task. `webhook-id` is the
    same when an event comes again. Raises `InvalidSignature` if no secret has signed it, or if
    it is more than five minutes from now.
    """
    given = {name.lower(): value for name, value in headers.items()}
    text = body.encode() if isinstance(body, str) else body
    try:
        event, moment = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
        sent = int(moment)
    except (KeyError, ValueError):
        raise InvalidSignature("the headers of a webhook are missing or wrong") from None
    if abs(time.time() - sent) > TOLERANCE_SECONDS:
        raise InvalidSignature("the webhook is from another time; is this clock right?")
    signed = f"{event}.{moment}.".encode() + text
    secrets = [secret] if isinstance(secret, str) else list(secret)
    expected = [_signature(each, signed) for each in secrets]
    # Each with each, and to the end, so that the time it takes tells nothing.
    matches = [_same(have, want) for have in signatures for want in expected]
    if not any(matches):
        raise InvalidSignature("no secret has signed this webhook")
    content = _content(text)
    if content.get("type") == TEST:
        return None
    # By Standard Webhooks what it is about is `data`, beside its type and time.
    about = content.get("data")
    return _callback(about if isinstance(about, dict) else content)


def _signature(secret: str, signed: bytes) -> bytes:
    try:
        text = secret.removeprefix("whsec_")
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise InvalidSignature("a secret is no whsec_ and base64")
    return b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())


def _same(have: str, want: bytes) -> bool:
    return hmac.compare_digest(have.encode(), want)


def _content(body: Body) -> Mapping[str, Any]:
    try:
        content = body if isinstance(body, Mapping) else json.loads(body)
    except ValueError as error:
        raise DarkroomError(f"this is no callback: {reason_of(error)}") from error
    if not isinstance(content, Mapping):
        raise DarkroomError("this is no callback: it is no JSON object")
    return content


def _callback(content: Mapping[str, Any]) -> Callback:
    try:
        return Callback.model_validate(content)
    except ValueError as error:
        raise DarkroomError(f"this is no callback: {reason_of(error)}") from error
