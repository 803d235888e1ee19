from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st
from ingest_fakes import (
    CALLER,
    KEY,
    TASK,
    UID,
    WRONG_KEY,
    World,
    counted,
    digest,
    encode,
    rpc,
    task_with,
)
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_core import from_json

from contracts.kinds import Extra, Previews
from contracts.message import CONTENT_LIMIT_BYTES
from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskCost, TaskError
from darkroom.tasks.v1 import tasks_pb2
from ingest.look_up import cursor_before
from ingest.rpc import _context, _plain
from servicekit.errors import RejectedError, TransientError

WITH_KEY = (("x-api-key", KEY),)


def request(**fields: Any) -> tasks_pb2.SubmitTaskRequest:
    known = {"id": "a", "runtime": "SdRuntime", "tasktype": "text-to-image"}
    if "content_json" not in fields:
        fields.setdefault("content", struct({"prompt": "A dog"}))
    return tasks_pb2.SubmitTaskRequest(**{**known, **fields})


def struct(plain: dict[str, Any]) -> Struct:
    return json_format.ParseDict(plain, Struct())


def value(plain: object) -> Value:
    return json_format.ParseDict(cast("dict[str, Any]", plain), Value())


async def refusal(
    call: Awaitable[object], status: grpc.StatusCode, code: str
) -> dict[str, Any]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is status
    details = rpc_status.from_call(cast("grpc.Call", caught.value))
    assert details is not None
    info, fields = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in details.details:
        for known in (info, fields, retry):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
    assert (info.reason, info.domain) == (code, "darkroom")
    return {
        "message": caught.value.details(),
        "fields": [violation.field for violation in fields.field_violations],
        "retry": retry.retry_delay.ToTimedelta(),
    }


async def test_submission_is_accepted(world: World) -> None:
    async with rpc(world) as stub:
        answer = await stub.SubmitTask(
            request(prefix="/p/", context=value({"n": 1, "x": 1.5})), metadata=WITH_KEY
        )

    [(submission, tenant)] = world.router.submitted
    assert answer == tasks_pb2.SubmitTaskResponse(
        id="a",
        runtime="sdruntime",
        output_location="s3://outputbucket/p/a",
        uid=submission.uid,
    )
    assert tenant == "studio"
    assert from_json(submission.context_json) == {"n": 1, "x": 1.5}
    assert '"n":1,' in submission.context_json.replace("}", ",")


async def test_unset_fields_have_defaults(world: World) -> None:
    async with rpc(world) as stub:
        await stub.SubmitTask(request(), metadata=WITH_KEY)

    [(submission, _)] = world.router.submitted
    assert (submission.prefix, submission.context_json) == ("output", "{}")


async def test_whole_numbers_of_a_struct_are_whole_in_the_content(world: World) -> None:
    content = {"steps": 16, "cfg": 7.5, "on": False, "none": None, "list": [1, [True, "x"]]}
    async with rpc(world) as stub:
        await stub.SubmitTask(request(content=struct(content)), metadata=WITH_KEY)

    [(submission, _)] = world.router.submitted
    assert from_json(submission.content) == content
    assert b'"steps":16' in submission.content
    assert b"16.0" not in submission.content


async def test_content_as_text_takes_the_place_of_the_struct(world: World) -> None:
    async with rpc(world) as stub:
        await stub.SubmitTask(
            request(content=struct({"a": 1}), content_json='{"seed": 12345678901234567890}'),
            metadata=WITH_KEY,
        )

    [(submission, _)] = world.router.submitted
    assert submission.content == b'{"seed":12345678901234567890}'


async def test_time_for_one_attempt_is_handed_on(world: World) -> None:
    async with rpc(world) as stub:
        for timeout in (None, Duration(seconds=1, nanos=500_000_000)):
            await stub.SubmitTask(request(timeout=timeout), metadata=WITH_KEY)

    limits = [submission.timeout for submission, _ in world.router.submitted]
    assert limits == [None, timedelta(seconds=1.5)]


async def test_files_that_a_client_names_are_handed_on(world: World) -> None:
    content = '{"init_images": ["https://a/b.png"]}'
    chosen = tasks_pb2.Inputs(paths=["init_images[0]"])
    async with rpc(world) as stub:
        for inputs in (None, tasks_pb2.Inputs(), chosen):
            sent = request(content_json=content, inputs=inputs)
            await stub.SubmitTask(sent, metadata=WITH_KEY)
        wrong = request(content_json=content, inputs=tasks_pb2.Inputs(paths=["mask"]))
        told = await refusal(
            stub.SubmitTask(wrong, metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    handed_on = [submission.inputs for submission, _ in world.router.submitted]
    assert handed_on == [None, (), ("init_images[0]",)]
    assert told["fields"] == ["inputs"]


async def test_that_previews_are_kept_is_handed_on(world: World) -> None:
    async with rpc(world) as stub:
        for previews in ("", "keep"):
            await stub.SubmitTask(request(previews=previews), metadata=WITH_KEY)
        told = await refusal(
            stub.SubmitTask(request(previews="drop"), metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    handed_on = [submission.previews for submission, _ in world.router.submitted]
    assert handed_on == [None, Previews.KEEP]
    assert told["fields"] == ["previews"]


async def test_what_the_callback_shall_have_is_handed_on(world: World) -> None:
    async with rpc(world) as stub:
        for include in ([], ["cost"]):
            await stub.SubmitTask(request(include=include), metadata=WITH_KEY)
        told = await refusal(
            stub.SubmitTask(request(include=["seed"]), metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    handed_on = [submission.include for submission, _ in world.router.submitted]
    assert handed_on == [(), (Extra.COST,)]
    assert told["fields"] == ["include.0"]


async def test_the_url_of_a_task_is_handed_on(world: World) -> None:
    url = "https://studio.example.com/of-one"
    async with rpc(world) as stub:
        await stub.SubmitTask(request(callback_url=url), metadata=WITH_KEY)
        told = await refusal(
            stub.SubmitTask(request(callback_url=url + "x" * 2048), metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    assert world.router.submitted[0][0].callback_url == url
    assert told["fields"] == ["callback_url"]


@pytest.mark.parametrize("seconds", [0, -1, 86_401, 10**15])
async def test_time_that_no_attempt_may_take_is_refused(world: World, seconds: int) -> None:
    async with rpc(world) as stub:
        told = await refusal(
            stub.SubmitTask(request(timeout=Duration(seconds=seconds)), metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    assert told["fields"] == ["timeout"]


async def test_every_wrong_field_is_named(world: World) -> None:
    wrong = tasks_pb2.SubmitTaskRequest(id="..", prefix="a//b", content_json="[")
    async with rpc(world) as stub:
        told = await refusal(
            stub.SubmitTask(wrong, metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    assert told["fields"] == ["id", "runtime", "tasktype", "prefix", "content_json"]
    assert told["message"].startswith("Incorrect payload structure, id must be ")


async def test_missing_content_is_named(world: World) -> None:
    wrong = tasks_pb2.SubmitTaskRequest(id="a", runtime="r", tasktype="pipeline")
    async with rpc(world) as stub:
        told = await refusal(
            stub.SubmitTask(wrong, metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    assert told["message"] == "Incorrect payload structure, content is missing"


async def test_number_that_is_none_is_refused(world: World) -> None:
    content = Struct(fields={"steps": Value(number_value=float("nan"))})
    async with rpc(world) as stub:
        told = await refusal(
            stub.SubmitTask(request(content=content), metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    assert told["fields"] == ["content"]


async def test_content_over_the_limit_is_refused(world: World) -> None:
    text = '{"a":"' + "x" * CONTENT_LIMIT_BYTES + '"}'
    async with rpc(world) as stub:
        await refusal(
            stub.SubmitTask(request(content_json=text), metadata=WITH_KEY),
            grpc.StatusCode.OUT_OF_RANGE,
            "payload_too_large",
        )


@pytest.mark.parametrize("metadata", [(), (("x-api-key", WRONG_KEY),), (*WITH_KEY, *WITH_KEY)])
async def test_call_without_one_valid_key_is_refused(
    world: World, metadata: tuple[tuple[str, str], ...]
) -> None:
    async with rpc(world) as stub:
        for call in (
            stub.SubmitTask(request(), metadata=metadata),
            stub.GetTask(tasks_pb2.GetTaskRequest(id="test-t2i"), metadata=metadata),
            stub.ListTasks(tasks_pb2.ListTasksRequest(), metadata=metadata),
        ):
            await refusal(call, grpc.StatusCode.UNAUTHENTICATED, "unauthorized")

    assert world.router.submitted == []


async def test_refused_calls_are_counted_like_others(
    world: World, meter: InMemoryMetricReader
) -> None:
    before = counted(meter)
    async with rpc(world) as stub:
        call = stub.GetTask(tasks_pb2.GetTaskRequest(id="test-t2i"))
        await refusal(call, grpc.StatusCode.UNAUTHENTICATED, "unauthorized")
        await stub.GetTask(tasks_pb2.GetTaskRequest(id="test-t2i"), metadata=WITH_KEY)

    new = {key: number - before.get(key, 0) for key, number in counted(meter).items()}
    assert {key: number for key, number in new.items() if number} == {
        ("darkroom.ingest.requests", "get_task", "UNAUTHENTICATED"): 1,
        ("darkroom.ingest.requests", "get_task", "OK"): 1,
        ("darkroom.ingest.refused", "unauthorized", ""): 1,
        ("darkroom.ingest.seconds", "get_task", ""): 2,
    }


async def test_key_that_asks_too_fast_is_told_when_to_come_again(world: World) -> None:
    slow = replace(CALLER, rate_per_second=0.5, burst=1)
    world.gate.replace({digest(KEY): slow})
    async with rpc(world) as stub:
        await stub.ListTasks(tasks_pb2.ListTasksRequest(), metadata=WITH_KEY)
        told = await refusal(
            stub.SubmitTask(request(), metadata=WITH_KEY),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "throttled",
        )

    assert told["retry"] == timedelta(seconds=2)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TransientError("down"), grpc.StatusCode.UNAVAILABLE, "unavailable"),
        (
            RejectedError("no", code="runtime_not_found"),
            grpc.StatusCode.NOT_FOUND,
            "runtime_not_found",
        ),
        (
            RejectedError("no", code="model_not_found"),
            grpc.StatusCode.NOT_FOUND,
            "model_not_found",
        ),
        (ZeroDivisionError("secret"), grpc.StatusCode.INTERNAL, "internal"),
    ],
)
async def test_failure_behind_ingest_is_told_by_its_code(
    world: World, error: Exception, status: grpc.StatusCode, code: str
) -> None:
    world.router.error = error
    async with rpc(world) as stub:
        told = await refusal(stub.SubmitTask(request(), metadata=WITH_KEY), status, code)

    assert "secret" not in told["message"]


async def test_task_is_told_in_full(world: World) -> None:
    failed = task_with(
        id="done",
        state=TaskState.FAILED,
        started_at=None,
        finished_at=TASK.created_at,
        output_url="s3://b/x.out",
        image_url=("s3://b/1.png",),
        error=TaskError(code="runtime_error", message="no", retryable=True),
        warnings=("another sampler",),
        progress=None,
        cost=TaskCost(
            gpu_ms=1500,
            amount_micros=207,
            currency="USD",
            node_type="g5.2xlarge",
            capacity="spot",
        ),
    )
    world.router.known.append(failed)
    async with rpc(world) as stub:
        running = await stub.GetTask(tasks_pb2.GetTaskRequest(id=UID), metadata=WITH_KEY)
        done = await stub.GetTask(tasks_pb2.GetTaskRequest(id="done"), metadata=WITH_KEY)

    assert json_format.MessageToDict(running.task, preserving_proto_field_name=True) == {
        "uid": UID,
        "id": "test-t2i",
        "runtime": "sdruntime",
        "tasktype": "text-to-image",
        "state": "TASK_STATE_RUNNING",
        "attempt": 1,
        "context": {"abc": 123},
        "created_at": "2026-01-02T03:04:05.678900Z",
        "started_at": "2026-01-02T03:04:06Z",
        "output_location": "s3://outputbucket/output/test-t2i",
        "progress": {"step": 1, "total": 3, "percent": 33.3},
        "tenant": "studio",
    }
    assert done.task.error.code == "runtime_error"
    assert list(done.task.warnings) == ["another sampler"]
    assert done.task.cost == tasks_pb2.TaskCost(
        gpu_seconds=1.5,
        currency="USD",
        amount="0.000207",
        node_type="g5.2xlarge",
        capacity="spot",
    )
    assert (done.task.output_url, list(done.task.image_url)) == (
        "s3://b/x.out",
        ["s3://b/1.png"],
    )
    assert done.task.HasField("finished_at")
    assert not done.task.HasField("started_at")


@pytest.mark.parametrize("id", ["other", "a/b", "a\n"])
async def test_task_that_does_not_exist_is_not_found(world: World, id: str) -> None:
    async with rpc(world) as stub:
        call = stub.GetTask(tasks_pb2.GetTaskRequest(id=id), metadata=WITH_KEY)
        await refusal(call, grpc.StatusCode.NOT_FOUND, "task_not_found")


async def test_task_without_a_name_is_a_wrong_request(world: World) -> None:
    async with rpc(world) as stub:
        call = stub.GetTask(tasks_pb2.GetTaskRequest(), metadata=WITH_KEY)
        told = await refusal(call, grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")

    assert told["fields"] == ["id"]


@pytest.mark.parametrize("context", ["[" * 150 + "]" * 150, "9" * 400])
async def test_context_that_protobuf_cannot_carry_is_told_as_text(
    world: World, context: str
) -> None:
    world.router.known = [task_with(context_json=context)]
    async with rpc(world) as stub:
        answer = await stub.ListTasks(tasks_pb2.ListTasksRequest(), metadata=WITH_KEY)

    assert answer.tasks[0].context.string_value == context


async def test_pages_are_joined_by_an_opaque_cursor(world: World) -> None:
    world.router.known = [TASK, TASK]
    async with rpc(world) as stub:
        first = await stub.ListTasks(
            tasks_pb2.ListTasksRequest(limit=1, state=tasks_pb2.TASK_STATE_QUEUED),
            metadata=WITH_KEY,
        )
        state = world.router.asked["state"]
        last = await stub.ListTasks(
            tasks_pb2.ListTasksRequest(cursor=first.cursor), metadata=WITH_KEY
        )

    assert (len(first.tasks), first.cursor) == (1, cursor_before(UID))
    assert (len(last.tasks), last.cursor) == (2, "")
    assert state is TaskState.QUEUED
    assert world.router.asked == {
        "runtime": "",
        "state": None,
        "tenant": "",
        "text": "",
        "limit": 20,
        "before_uid": UID,
    }


async def test_wrong_filters_are_all_named(world: World) -> None:
    wrong = tasks_pb2.ListTasksRequest(runtime="\0", limit=-1, cursor="!")
    wrong.MergeFromString(b"\x10\x63")  # a state that has no name yet
    async with rpc(world) as stub:
        told = await refusal(
            stub.ListTasks(wrong, metadata=WITH_KEY),
            grpc.StatusCode.INVALID_ARGUMENT,
            "invalid_request",
        )

    assert told["fields"] == ["runtime", "state", "limit", "cursor"]


async def test_call_joins_the_trace_of_its_client(
    world: World, spans: InMemorySpanExporter
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    traceparent = ("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01")
    async with rpc(world) as stub:
        await stub.SubmitTask(request(), metadata=(*WITH_KEY, traceparent))

    [span] = spans.get_finished_spans()
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == trace_id


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
        max_leaves=10,
    )
)
def test_value_of_a_client_comes_back_the_same(plain: object) -> None:
    there = _context(encode(plain).decode())

    assert _plain(there) == plain
