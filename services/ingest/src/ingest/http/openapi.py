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

from ingest.http.problems import MEDIA_TYPE, Problem
from servicekit.status import REFUSALS

READING: Final = (400, 401, 404, 405, 429, 500, 503)
OF_TENANT: Final = (*READING, 403)
CANCELLING: Final = (*READING, 403, 409)
SUBMITTING: Final = (400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503)

_REF: Final = "#/components/schemas/{model}"
_RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "When to ask again, in seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}


def refusals(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that refuses with these statuses."""
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


def submission(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that takes a task."""
    applied = "How long the answer waited, or would have, for the end of the task."
    accepted = {
        "content": {"application/json": {"example": example}},
        "headers": {
            "Preference-Applied": {"description": applied, "schema": {"type": "string"}}
        },
    }
    return {200: accepted, **refusals(SUBMITTING)}


def event_stream() -> dict[int | str, dict[str, Any]]:
    """The answers with events."""
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


def json_body(model: type[BaseModel], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The `openapi_extra` of an operation that reads its body itself, under a limit."""
    media = {
        "schema": {"$ref": _REF.format(model=model.__name__)},
        "examples": {title: {"value": value} for title, value in examples.items()},
    }
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


def describe(app: FastAPI, bodies: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The whole document; `bodies` are the models that `json_body` names."""
    document = get_openapi(
        title="Darkroom",
        version="1",
        description="Asynchronous image generation.",
        routes=app.routes,
    )
    models: list[type[BaseModel]] = [*bodies, Problem]
    _, extra = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REF
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
    """A page of HTML that lists the document's operations; it needs no script."""
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
