"""Refusals over HTTP: `application/problem+json` of RFC 9457 with our stable codes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil
from typing import Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest.metrics import Metrics
from ingest.native.calls import native_call
from ingest.native.refusals import in_words_of
from ingest.payload import field_error, invalid
from servicekit.errors import NOTHING, AppError, FieldError, RejectedError, TransientError
from servicekit.rpc import RETRY_AFTER
from servicekit.status import REFUSALS
from servicekit.web import NoHttp

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"

_OF_ROUTING: Final = {
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "this path does not take this method"),
}


class ProblemField(BaseModel):
    """One thing that is wrong with one field of the request."""

    field: str = Field(description="Dotted path, for example `task.metadata.id`.")
    message: str


class Problem(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="`urn:darkroom:problem:` and the code.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, for programs.")
    errors: list[ProblemField]
    quota: str | None = Field(
        default=None, description="`open_tasks`, `daily_images` or `monthly_budget`."
    )
    limit: str | None = Field(default=None, description="What the key may take of it.")
    used: str | None = Field(default=None, description="What it has taken.")
    resets_at: str | None = Field(
        default=None, description="When it begins anew, by RFC 3339; absent if tasks must end."
    )


class Problems:
    """Makes the answer to each error, and counts it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def handle(self, request: Request, error: Exception) -> Response:
        """Answer an error that a route let pass; the form that Starlette asks for."""
        return self.answer(error, request.scope["path"])

    def answer(self, error: Exception, path: str = "") -> Response:
        """The response by which a client learns of `error`, which is logged.

        It is in the words of the API that the path is of.
        """
        headers: dict[str, str] = {}
        facts: Mapping[str, str] = {}
        if isinstance(error, RequestValidationError):
            error = invalid(_parameter_error(item) for item in error.errors())
        if isinstance(error, RejectedError) and error.code in REFUSALS:
            log.info("refused", extra={"code": error.code, "reason": str(error)})
            code, detail, errors = error.code, str(error), error.errors
            facts = error.facts
        elif isinstance(error, HTTPException) and error.status_code in _OF_ROUTING:
            (code, detail), errors = _OF_ROUTING[error.status_code], ()
            headers.update(error.headers or {})  # Allow
        elif isinstance(error, TransientError):
            log.warning("unavailable", exc_info=error, extra=error.details)
            code, detail, errors = (
                "unavailable",
                "a dependency is down, nothing was accepted",
                (),
            )
        else:
            details = error.details if isinstance(error, AppError) else {}
            log.error("failed", exc_info=error, extra=details)
            code, detail, errors = "internal", "internal error", ()
        if code in {"throttled", "quota_exceeded", "unavailable"}:
            wait = getattr(error, "retry_after", None) or RETRY_AFTER
            headers["Retry-After"] = str(max(1, ceil(wait.total_seconds())))
        self._metrics.refused(code, "rest")
        return _said(_problem(code, detail, errors, facts), headers, path)


def no_http(metrics: Metrics) -> NoHttp:
    """The answer to what the server itself refuses, before it is a request."""
    code = "invalid_request"
    detail = "this is no HTTP; is there a control character in a header?"

    def count() -> None:
        log.info("refused", extra={"code": code, "reason": detail})
        with metrics.measured("unknown", "rest") as call:
            call.status = str(REFUSALS[code].http)
        metrics.refused(code, "rest")

    body = bytes(_said(_problem(code, detail, ()), {}, "").body)
    return NoHttp(media_type=MEDIA_TYPE, body=body, on_answer=count)


def _parameter_error(item: ErrorDetails) -> FieldError:
    """FastAPI says first where a parameter was: in the query, in a header."""
    return field_error({**item, "loc": item["loc"][1:]})


def _problem(
    code: str,
    detail: str,
    errors: tuple[FieldError, ...],
    facts: Mapping[str, str] = NOTHING,
) -> Problem:
    refusal = REFUSALS[code]
    return Problem(
        type=f"urn:darkroom:problem:{code}",
        title=refusal.title,
        status=refusal.http,
        detail=detail,
        code=code,
        errors=[ProblemField(field=e.field, message=e.message) for e in errors],
        **facts,
    )


def _said(problem: Problem, headers: dict[str, str], path: str) -> Response:
    if native := native_call(path):
        if problem.code == "unauthorized":
            headers["WWW-Authenticate"] = 'Basic realm="darkroom", charset="UTF-8"'
        said = in_words_of(native.api, problem)
        return JSONResponse(said, status_code=problem.status, headers=headers)
    return Response(
        problem.model_dump_json(exclude_unset=True),
        status_code=problem.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )
