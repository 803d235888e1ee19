from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time

import pytest
from servicekit_fakes import command, environment, run

from servicekit.lifecycle import stop_on_signals

SERVICE = """
import asyncio, logging, sys
from opentelemetry import trace
from servicekit.errors import FatalError
from servicekit.lifecycle import stop_on_signals
from servicekit.service import run_service
from servicekit.settings import ServiceSettings

async def serve(settings):
    {body}

run_service("sample", ServiceSettings, serve, "A sample.")
"""

TRACED = """
import json
from opentelemetry import trace
from servicekit.telemetry import incoming_context, outgoing_context, telemetry

with telemetry("sample"):
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("send") as sent:
        attributes = outgoing_context()
    with tracer.start_as_current_span("receive", incoming_context(attributes)) as received:
        pass
    with tracer.start_as_current_span("alone", incoming_context({})) as alone:
        pass
form = trace.format_trace_id
print(json.dumps({
    "attributes": attributes,
    "sent": form(sent.context.trace_id),
    "received": form(received.context.trace_id),
    "parent_is_sender": received.parent.span_id == sent.context.span_id,
    "alone": form(alone.context.trace_id),
}))
"""

WAITS = """
import asyncio
from servicekit.lifecycle import stop_on_signals

async def wait():
    with stop_on_signals() as stop:
        print("ready", flush=True)
        await stop.wait()
        print("stopping", flush=True)
        await asyncio.Event().wait()

asyncio.run(wait())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_sets_the_event(number: signal.Signals) -> None:
    with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(60):
            await stop.wait()


async def test_a_signal_is_as_before_after_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_kills_whichever_was_first(first: signal.Signals) -> None:
    with subprocess.Popen(  # our own code
        command(WAITS), env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == -signal.SIGTERM


def test_a_fatal_error_ends_the_process_with_1_and_one_sentence() -> None:
    ended = run(SERVICE.format(body='raise FatalError("the table is gone")'))
    assert ended.returncode == 1
    logged, sentence = ended.stderr.splitlines()
    assert sentence == "sample: the table is gone"
    assert json.loads(logged)["message"] == "stopped"


def test_a_fatal_error_in_a_group_is_told_in_the_same_way() -> None:
    group = 'raise ExceptionGroup("g", [ExceptionGroup("h", [FatalError("no port")])])'
    ended = run(SERVICE.format(body=group))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[1:] == ["sample: no port"]


def test_a_service_that_returns_ends_with_0_and_says_nothing() -> None:
    ended = run(SERVICE.format(body="pass"))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_logs_are_json_with_the_trace_that_they_belong_to() -> None:
    body = """
    log = logging.getLogger("room")
    log.info("before", extra={"uid": "u"})
    with trace.get_tracer("t").start_as_current_span("s") as span:
        log.warning("within")
    log.debug("too fine")
    context = span.context
    print(trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id))
"""
    ended = run(SERVICE.format(body=body.strip()))
    before, within = map(json.loads, ended.stderr.splitlines())
    trace_id, span_id = ended.stdout.split()
    assert before.pop("time").endswith("+00:00")
    assert before == {
        "level": "INFO", "logger": "room", "message": "before", "service": "sample", "uid": "u"
    }  # fmt: skip
    assert (within["trace_id"], within["span_id"]) == (trace_id, span_id)


def test_an_exception_in_the_log_stays_on_one_line() -> None:
    body = """
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("room").exception("failed")
"""
    (line,) = run(SERVICE.format(body=body.strip())).stderr.splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exc_info"]


def test_trace_ids_have_the_form_of_x_ray_and_travel_on_a_message() -> None:
    ended = run(TRACED)
    assert ended.stderr == ""
    seen = json.loads(ended.stdout)
    assert abs(int(seen["sent"][:8], 16) - time.time()) < 60
    assert seen["attributes"]["traceparent"].split("-")[1] == seen["sent"]
    assert seen["received"] == seen["sent"]
    assert seen["parent_is_sender"]
    assert seen["alone"] != seen["sent"]


def test_a_trace_goes_on_over_a_grpc_call() -> None:
    code = """
import asyncio, logging
from opentelemetry import trace
from servicekit.listen import free_port
from servicekit.telemetry import telemetry
from servicekit_fakes import ASK, FakeModelService, called, served

async def call():
    service, port = FakeModelService(), free_port()
    with trace.get_tracer("test").start_as_current_span("outer") as span:
        async with served(service, port), called(port) as (stub, _):
            await stub.GetModel(ASK, timeout=60)
    print(trace.format_trace_id(span.context.trace_id), service.metadata["traceparent"])

with telemetry("sample"):
    asyncio.run(call())
"""
    ended = run(code)
    assert ended.returncode == 0, ended.stderr
    trace_id, traceparent = ended.stdout.split()
    assert traceparent.split("-")[1] == trace_id
