"""Refusals in the words of the server whose API a client speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ingest.native.calls import Api

if TYPE_CHECKING:
    from ingest.http.problems import Problem

_SERVER_ERROR: Final = 500


def in_words_of(api: Api, problem: Problem) -> Mapping[str, Any]:
    """The body that such a server's client looks for in an answer with this status."""
    return _WORDS[api](problem)


def _sdwebui(problem: Problem) -> Mapping[str, Any]:
    # As its own handler of exceptions: the class, what it says, and two fields of text.
    return {"error": problem.code, "detail": problem.detail, "body": "", "errors": ""}


def _comfyui(problem: Problem) -> Mapping[str, Any]:
    field = problem.errors[0].field if problem.errors else ""
    error = {"type": problem.code, "message": problem.detail, "details": field}
    return {"error": {**error, "extra_info": {}}, "node_errors": {}}


def _openai(problem: Problem) -> Mapping[str, Any]:
    kind = "server_error" if problem.status >= _SERVER_ERROR else "invalid_request_error"
    field = problem.errors[0].field if problem.errors else None
    return {
        "error": {
            "message": problem.detail,
            "type": kind,
            "param": field,
            "code": problem.code,
        }
    }


_WORDS: Final = {Api.SDWEBUI: _sdwebui, Api.COMFYUI: _comfyui, Api.OPENAI: _openai}
