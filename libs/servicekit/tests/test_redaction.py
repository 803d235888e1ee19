from __future__ import annotations

import json
import logging
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from servicekit.logs import set_up_logs
from servicekit.redaction import RedactingExporter, redacted

SECRET = "s3cr3t"  # noqa: S105  # what must not be seen
TEXTS = [
    f"https://bucket.example/a.png?X-Amz-Signature={SECRET}&x=1",
    f"GET 'https://user:{SECRET}@host/a' failed",
    f"http://{SECRET}@host",
    f"/a.png?x=1&X-Amz-Credential={SECRET}%2F2026",
    f"/a.png?X-Amz-Security-Token={SECRET}",
    f"x-api-key: {SECRET}",
    f"{{'x-api-key': '{SECRET}'}}",
    f'{{"API_KEY": "{SECRET}"}}',
    f"Authorization: Bearer {SECRET}",
    f"aws_secret_access_key={SECRET}",
    f"password = {SECRET}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_secret_is_taken_out_of_text(text: str) -> None:
    assert SECRET not in redacted(text)
    assert "[hidden]" in redacted(text)


@pytest.mark.parametrize(
    "text", ["a dog?", "https://host/a.png", "what? key: none", "10:20 took 3 s", ""]
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


def test_secret_is_taken_out_at_any_depth() -> None:
    value = {"headers": {"x-api-key": SECRET, "a": "b"}, "urls": [TEXTS[0]], "count": 3}

    assert SECRET not in str(redacted(value))
    assert redacted(value)["count"] == 3
    assert redacted(value)["headers"]["a"] == "b"


@pytest.mark.parametrize(
    "piece", ["a://", "://", "x-api-key", "authorization:", "a.b://c", "@?"]
)
def test_no_text_takes_long(piece: str) -> None:
    started = time.process_time()

    redacted(piece * 20_000)

    assert time.process_time() - started < 5


def test_log_line_has_no_secret_in_message_fields_and_exception(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    set_up_logs("sample", "INFO")
    fields = {"url": TEXTS[0], "headers": {"x-api-key": SECRET}}
    error = ValueError(TEXTS[0])
    logging.getLogger("test").warning("failed %s", TEXTS[5], exc_info=error, extra=fields)
    root.setLevel(level)

    line = capsys.readouterr().err
    assert SECRET not in line
    assert json.loads(line)["message"] == "failed x-api-key: [hidden]"
    assert "ValueError" in line


def test_exported_span_has_no_secret_and_keeps_the_rest() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(kept)))
    tracer = provider.get_tracer("test")

    with tracer.start_as_current_span("work") as span:
        span.set_attributes({"url.full": TEXTS[0], "uid": "01J"})
        span.record_exception(ValueError(TEXTS[0]))
        span.set_status(StatusCode.ERROR, TEXTS[0])

    [exported] = kept.get_finished_spans()
    assert SECRET not in exported.to_json()
    assert exported.name == "work"
    assert dict(exported.attributes or {})["uid"] == "01J"
    assert exported.context == span.get_span_context()
    assert [event.name for event in exported.events] == ["exception"]
