"""Handing one submission in."""

from __future__ import annotations

from opentelemetry import trace

from ingest.domain import Accepted, Caller, Submission
from ingest.ports import Router


async def submit(router: Router, submission: Submission, caller: Caller) -> Accepted:
    """Give where the task went once it is durably queued; any error means that it is not.

    Raises what the router raises: `RejectedError`, `TransientError`.
    """
    span = trace.get_current_span()
    span.set_attribute("darkroom.uid", submission.uid)
    span.set_attribute("darkroom.id", submission.id)
    span.set_attribute("darkroom.tasktype", submission.tasktype)
    accepted = await router.submit(submission, caller.tenant)
    span.set_attribute("darkroom.runtime", accepted.runtime)
    return accepted
