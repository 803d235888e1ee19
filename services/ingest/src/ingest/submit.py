"""Handing one submission in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from opentelemetry import trace

from ingest.domain import Accepted, Caller, Idempotency, Submission
from ingest.payload import INCORRECT, invalid, wrong
from ingest.ports import Router
from servicekit.errors import RejectedError

LONGEST_KEY: Final = 255


def idempotency_of(key: str, field: str, *sent: bytes) -> Idempotency:
    """The checked key with the fingerprint of what was sent; raises `RejectedError`.

    The refusal names `field` and never the key.
    """
    if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise invalid([wrong(field, f"must be 1 to {LONGEST_KEY} printable ASCII characters")])
    return Idempotency(key=key, fingerprint=sha256(b"\0".join(sent)).hexdigest())


async def submit(
    router: Router,
    submission: Submission,
    caller: Caller,
    fields: Mapping[str, str] = MappingProxyType({}),
    idempotency: Idempotency | None = None,
) -> Accepted:
    """Where the task went once it is durably queued; any error means that it is not.

    Raises what the router raises, `RejectedError` and `TransientError`, where `fields` says
    what the client calls the router's fields.
    """
    span = trace.get_current_span()
    span.set_attribute("darkroom.uid", submission.uid)
    span.set_attribute("darkroom.id", submission.id)
    span.set_attribute("darkroom.tasktype", submission.tasktype)
    try:
        accepted = await router.submit(submission, caller, idempotency)
    except RejectedError as error:
        if error.code != "invalid_request":
            raise
        raise _for_client(error, fields) from error
    span.set_attribute("darkroom.runtime", accepted.runtime)
    return accepted


def _for_client(error: RejectedError, fields: Mapping[str, str]) -> RejectedError:
    errors = tuple(replace(e, field=fields.get(e.field, e.field)) for e in error.errors)
    detail = f"{INCORRECT}, {str(error).removeprefix(f'{INCORRECT}, ')}"
    return RejectedError(detail, code=error.code, errors=errors)
