"""Handing one submission in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from opentelemetry import trace

from ingest.domain import Accepted, Caller, Submission
from ingest.payload import INCORRECT
from ingest.ports import Router
from servicekit.errors import RejectedError


async def submit(
    router: Router,
    submission: Submission,
    caller: Caller,
    fields: Mapping[str, str] = MappingProxyType({}),
) -> Accepted:
    """Give where the task went once it is durably queued; any error means that it is not.

    Raises what the router raises, `RejectedError` and `TransientError`, where `fields` says
    what the client calls the router's fields.
    """
    span = trace.get_current_span()
    span.set_attribute("darkroom.uid", submission.uid)
    span.set_attribute("darkroom.id", submission.id)
    span.set_attribute("darkroom.tasktype", submission.tasktype)
    try:
        accepted = await router.submit(submission, caller.tenant)
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
