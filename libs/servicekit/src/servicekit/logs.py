"""JSON logs on standard error, with the ids of the trace that they belong to."""

from __future__ import annotations

import logging
from typing import Any

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

from servicekit.redaction import redacted


class _Formatter(JsonFormatter):
    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            log_data["trace_id"] = trace.format_trace_id(context.trace_id)
            log_data["span_id"] = trace.format_span_id(context.span_id)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        # Last, so that it sees the text of exceptions, too.
        return {name: redacted(value) for name, value in log_data.items()}


def set_up_logs(service: str, level: str) -> None:
    """Make every logger of the process write one JSON object a line, without secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Formatter(
            "{levelname}{name}{message}",
            style="{",
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"service": service},
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line for each request and each AWS call is the trace's job.
    for noisy in ("uvicorn.access", "botocore", "aiobotocore", "httpx", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
