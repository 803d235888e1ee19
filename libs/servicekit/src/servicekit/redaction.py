"""Taking secrets out of what is written down: keys, and the login and query of any URL.

A prompt has no form by which it could be found: that no code logs a body stays the first rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

HIDDEN: Final = "[hidden]"

# All repetitions are bounded, so that no text takes quadratic time.
_LOGIN = re.compile(r"(://)[^\s/?#@'\"]{1,1024}@")
_QUERY = re.compile(r"(://[^\s?'\"<>]{0,2048}\?)[^\s'\"<>]+")
_AUTHORIZATION = re.compile(r"(?i)(\bauthorization\b['\"]?\s{0,4}[:=]\s{0,4}['\"]?)[^'\"\r\n]+")
_NAMED = re.compile(
    r"(?i)(\b(?:x-api-key|x-amz-(?:signature|credential|security-token)|api[_-]?key"
    r"|(?:aws_)?secret[_-]?access[_-]?key|password|session[_-]?token)\b"
    r"['\"]?\s{0,4}[:=]\s{0,4}b?['\"]?)[^\s'\"&,;)}\]]+"
)


def redacted(value: Any) -> Any:
    """Text without secrets; lists and mappings with all their text so."""
    if isinstance(value, str):
        for login_or_name in (_LOGIN, _QUERY, _AUTHORIZATION, _NAMED):
            end = "@" if login_or_name is _LOGIN else ""
            value = login_or_name.sub(rf"\1{HIDDEN}{end}", value)
        return value
    if isinstance(value, dict):
        return {key: _of(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redacted(inner) for inner in value)
    return value


def _of(name: str, value: Any) -> Any:
    # A header and its value are apart in a mapping.
    if isinstance(value, str) and _NAMED.fullmatch(f"{name}=x"):
        return HIDDEN
    return redacted(value)


class RedactingExporter(SpanExporter):
    """Passes spans on without the secrets in their attributes, events and status."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what is left of the spans."""
        return self._inner.export([_redacted_span(span) for span in spans])

    def shutdown(self) -> None:
        """End the inner exporter."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have the inner exporter send what it holds."""
        return self._inner.force_flush(timeout_millis)


def _redacted_span(span: ReadableSpan) -> ReadableSpan:
    events = [
        Event(event.name, redacted(dict(event.attributes or {})), event.timestamp)
        for event in span.events
    ]
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=redacted(dict(span.attributes or {})),
        events=events,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, redacted(span.status.description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
