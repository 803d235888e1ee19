"""The OpenAPI document, and a page that shows it without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from contracts.state import TaskState
from ingest.domain import DEFAULT_PAGE, LARGEST_PAGE, LONGEST_LINK, LONGEST_WAIT
from ingest.http.problems import MEDIA_TYPE, Problem
from ingest.translate_v1alpha1 import V1Alpha1Request
from ingest.translate_v1alpha2 import V1Alpha2Request
from servicekit.status import REFUSALS

READING: Final = (401, 404, 405, 429, 500, 503)
FINDING: Final = (400, *READING)
LISTING: Final = FINDING
CANCELLING: Final = (*READING, 409)
SUBMITTING: Final = (400, 401, 404, 405, 409, 413, 415, 429, 500, 503)

_REF: Final = "#/components/schemas/{model}"
_RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "When to ask again, in seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_LIST_FILTERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "runtime": ("Only tasks of this runtime.", {"type": "string"}),
    "state": ("Only tasks in this state.", {"type": "string", "enum": list(TaskState)}),
    "limit": (
        "At most this many tasks.",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": DEFAULT_PAGE},
    ),
    "cursor": ("The cursor of the page before.", {"type": "string"}),
}


def refusals(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """Give the `responses` of an operation that refuses with these statuses."""
    return {status: _refusal(status) for status in statuses}


def _refusal(status: int) -> dict[str, Any]:
    codes = [code for code, refusal in REFUSALS.items() if refusal.http == status]
    response: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {' or '.join(f'`{c}`' for c in codes)}",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
    if status in {429, 503}:
        response["headers"] = _RETRY_AFTER
    return response


def accepted(example: dict[str, Any]) -> dict[str, Any]:
    """Give the answer to a submission."""
    applied = "How long the answer waited, or would have, for the end of the task."
    return {
        "content": {"application/json": {"example": example}},
        "headers": {
            "Preference-Applied": {"description": applied, "schema": {"type": "string"}}
        },
    }


def event_stream() -> dict[int | str, dict[str, Any]]:
    """Give the answers with events."""
    text = (
        "Events `state`, whose data is a task, and `progress`, whose data has `uid`, "
        "`attempt`, `step`, `total` and `percent`; the id of each is its sequence."
    )
    return {
        200: {
            "description": text,
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "The task has ended, and nothing follows `Last-Event-ID`."},
    }


def links() -> dict[str, Any]:
    """Give the `openapi_extra` of the operation that tells of one task."""
    text = (
        "Adds download links that work for this many seconds, or until the credentials that"
        " sign them end: on AWS that may be after ten minutes. Ask again for new ones."
    )
    schema = {"type": "integer", "minimum": 1, "maximum": LONGEST_LINK}
    return {"parameters": [_parameter("links", "query", text, schema)]}


def resumption() -> dict[str, Any]:
    """Give the `openapi_extra` of the operation that sends events."""
    text = "The id of the last event that was received; only later ones are sent."
    schema = {"type": "integer", "minimum": 0}
    return {"parameters": [_parameter("Last-Event-ID", "header", text, schema)]}


def submission(model: type[BaseModel], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Give the `openapi_extra` of an operation that takes a task."""
    key = "The same key with the same body gives the first answer again, for 24 hours."
    prefer = (
        f"`wait=N`: answer when the task has ended, or after N seconds; {LONGEST_WAIT} at most."
    )
    return {
        **_json_body(model, examples),
        "parameters": [
            _parameter(
                "Idempotency-Key",
                "header",
                key,
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            ),
            _parameter("Prefer", "header", prefer, {"type": "string"}),
        ],
    }


def _parameter(name: str, place: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": False,
        "description": text,
        "schema": schema,
    }


def _json_body(model: type[BaseModel], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    media = {
        "schema": {"$ref": _REF.format(model=model.__name__)},
        "examples": {title: {"value": value} for title, value in examples.items()},
    }
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


def list_filters() -> dict[str, Any]:
    """Give the `openapi_extra` of the operation that lists tasks."""
    return {
        "parameters": [
            _parameter(name, "query", text, schema)
            for name, (text, schema) in _LIST_FILTERS.items()
        ]
    }


def describe(app: FastAPI) -> dict[str, Any]:
    """Give the whole document."""
    document = get_openapi(
        title="Darkroom",
        version="1",
        description="Asynchronous image generation.",
        routes=app.routes,
    )
    _, extra = models_json_schema(
        [(model, "validation") for model in (V1Alpha1Request, V1Alpha2Request, Problem)],
        ref_template=_REF,
    )
    components = document.setdefault("components", {})
    schemas = {**components.get("schemas", {}), **extra["$defs"]}
    for unused in ("HTTPValidationError", "ValidationError"):  # we answer 400 with `Problem`
        schemas.pop(unused, None)
    components["schemas"] = schemas
    components["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "x-api-key"}
    }
    document["security"] = [{"key": []}]
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    return document


def page(document: dict[str, Any]) -> str:
    """Give a page of HTML that lists the document's operations; it needs no script."""
    rows = "".join(
        f"<tr><td><code>{escape(method.upper())} {escape(path)}</code></td>"
        f"<td>{escape(operation.get('summary', ''))}</td>"
        f"<td>{escape(', '.join(sorted(operation['responses'])))}</td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    title = escape(document["info"]["title"])
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        "<style>body{font:16px sans-serif;margin:2em}td,th{padding:.3em 1em;text-align:left}"
        f"</style><h1>{title}</h1><p>Every call needs the header <code>x-api-key</code>. The "
        "schemas and examples are in <a href='/openapi.json'>openapi.json</a>.</p>"
        "<table><tr><th>Call</th><th>What it does</th><th>Answers</th></tr>"
        f"{rows}</table></html>"
    )
