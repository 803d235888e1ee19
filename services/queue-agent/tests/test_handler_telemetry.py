from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from handler_parts import Room
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from queue_agent_fakes import delivery, leftovers, message, state

from queue_agent.domain import Generated, Job, Task, TaskFailedError
from queue_agent.ports import Report


async def test_every_point_of_the_way_is_logged(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sent = message()

    await room.handle(sent)

    noted = [vars(record) for record in caplog.records if "event" in vars(record)]
    events = [record["event"] for record in noted]
    assert events == ["leased", "generated", "stored", "notified"]
    assert {record["uid"] for record in noted} == {sent.uid}


async def test_spans_continue_the_trace_of_the_message(
    room: Room, spans: InMemorySpanExporter
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = message()

    await room.handler().handle(delivery(sent, traceparent=parent), state())

    by_name: dict[str, ReadableSpan] = {span.name: span for span in spans.get_finished_spans()}
    assert set(by_name) == {"queue-agent task", "fetch", "run", "store", "finish"}
    root = by_name["queue-agent task"]
    assert root.kind is trace.SpanKind.CONSUMER
    assert root.parent is not None
    assert trace.format_span_id(root.parent.span_id) == "b7ad6b7169203331"
    assert dict(root.attributes or {}) == {
        "uid": sent.uid,
        "runtime": "sdruntime",
        "tasktype": "text-to-image",
        "attempt": 1,
    }


async def test_trace_of_a_failure_has_its_code_and_nothing_of_the_client(
    room: Room, spans: InMemorySpanExporter
) -> None:
    async def fail(job: Job, report: Report) -> Generated:
        raise TaskFailedError("cannot do 'my prompt'", code="runtime_error")

    room.runtime.script = fail

    await room.handle(message())

    finished = spans.get_finished_spans()
    assert not any("my prompt" in span.to_json() for span in finished)
    assert [span.status.description for span in finished][-1] == "runtime_error"


async def test_times_and_sizes_are_measured(room: Room) -> None:
    await room.handle(message())

    measured = room.measured()
    names = {"queue_wait", "generation", "overhead", "uploads", "uploaded", "tasks"}
    assert set(measured) == {f"darkroom.agent.{name}" for name in names}
    assert measured["darkroom.agent.tasks"] == [{"outcome": "completed"}]


async def test_what_the_handler_logs_has_no_prompt(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    task = Task(message=message(content={"prompt": "my secret"}), attempt=1)
    job = await room.handler().preparer.prepare(task, leftovers(task))

    assert "my secret" not in repr(task) + repr(job) + repr(replace(job, attempt=2))
    assert "my secret" not in caplog.text
