from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.duration_pb2 import Duration
from router_fakes import CALLBACK_URL, World
from router_parts import request, stub

from contracts.callback import Failure
from contracts.ids import Uid, new_uid
from contracts.kinds import Extra, Previews
from contracts.state import Progress
from darkroom.router.v1 import router_pb2
from darkroom.task.v1.task_pb2 import TaskError
from ledger.record import Result
from servicekit.errors import RejectedError, TransientError
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.router.v1.router_pb2_grpc import RouterServiceAsyncStub

__all__ = ["stub"]

READER = router_pb2.Reader(tenant="studio")
TOO_LONG = {"timeout": Duration(seconds=86401)}
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


async def test_a_submission_is_answered_with_its_runtime_and_its_place(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    submitted = request()
    answer = await stub.SubmitTask(submitted, timeout=60)
    assert (answer.runtime, answer.uid) == ("fixed", submitted.uid)
    assert answer.output_location == "s3://outputbucket/output/test-t2i"
    assert len(world.topic.published) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"uid": "x"}, {"id": "../x"}, {"prefix": "a/../b"}, {"tasktype": "sing"}, TOO_LONG],
)
async def test_a_submission_that_ingest_should_have_refused_is_refused_here(
    stub: RouterServiceAsyncStub, world: World, wrong: dict[str, Any]
) -> None:
    with pytest.raises(RejectedError) as caught, translated("submit"):
        await stub.SubmitTask(request(**wrong), timeout=60)
    assert caught.value.code == "invalid_request"
    assert world.ledger.records == {}


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (None, None),
        (router_pb2.Inputs(), ()),
        (router_pb2.Inputs(paths=["mask"]), ("mask",)),
    ],
)
async def test_files_that_a_client_names_are_in_the_message(
    stub: RouterServiceAsyncStub,
    world: World,
    inputs: router_pb2.Inputs | None,
    told: tuple[str, ...] | None,
) -> None:
    await stub.SubmitTask(request(inputs=inputs), timeout=60)
    [(_, _, message)] = world.topic.published
    assert message.inputs == told


@pytest.mark.parametrize(("previews", "told"), [("", None), ("keep", Previews.KEEP)])
async def test_that_previews_are_kept_is_in_the_message(
    stub: RouterServiceAsyncStub, world: World, previews: str, told: Previews | None
) -> None:
    await stub.SubmitTask(request(previews=previews), timeout=60)
    [(_, _, message)] = world.topic.published
    assert message.previews is told


async def test_what_the_callback_shall_have_is_in_the_record(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    answer = await stub.SubmitTask(request(include=["cost"]), timeout=60)
    record = await world.ledger.get(Uid(answer.uid))
    assert record is not None
    assert record.include == (Extra.COST,)


async def test_the_url_of_a_task_is_in_its_record_if_its_tenant_may_name_it(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    answer = await stub.SubmitTask(
        request(tenant="studio", callback_url=CALLBACK_URL), timeout=60
    )
    record = await world.ledger.get(Uid(answer.uid))
    assert record is not None
    assert record.callback_url == CALLBACK_URL
    assert "token" not in repr(record)

    world.topic.published.clear()
    with pytest.raises(RejectedError) as caught, translated("router.SubmitTask"):
        await stub.SubmitTask(request(tenant="rival", callback_url=CALLBACK_URL), timeout=60)
    assert [error.field for error in caught.value.errors] == ["callback_url"]
    assert world.topic.published == []


async def test_a_topic_that_is_down_is_unavailable_and_asked_once(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    world.topic.fails_after = TransientError("SNS is down")
    with pytest.raises(TransientError), translated("submit"):
        await stub.SubmitTask(request(), timeout=60)
    assert len(world.topic.published) == 1


async def test_a_queued_task_has_no_times_but_its_beginning(
    stub: RouterServiceAsyncStub,
) -> None:
    submitted = request()
    await stub.SubmitTask(submitted, timeout=60)
    answer = await stub.GetTask(
        router_pb2.GetTaskRequest(id="test-t2i", reader=READER), timeout=60
    )
    task = answer.task
    assert (task.uid, task.id, task.state) == (submitted.uid, "test-t2i", "queued")
    assert (task.context_json, task.attempt) == ('{"abc": 123}', 0)
    assert task.HasField("created_at")
    unset = ("started_at", "finished_at", "error", "progress")
    assert not any(task.HasField(name) for name in unset)  # type: ignore[arg-type]  # names of fields
    assert (task.output_url, list(task.image_url)) == ("", [])


async def test_a_task_is_shown_with_its_progress_and_then_with_its_failure(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    await stub.SubmitTask(request(), timeout=60)
    (uid,) = world.ledger.records
    await world.ledger.begin(uid, NOW)
    await world.ledger.report(uid, 1, Progress(step=3, total=20))
    asked = router_pb2.GetTaskRequest(id=uid, reader=READER)
    running = (await stub.GetTask(asked, timeout=60)).task
    failure = Failure(code="runtime_error", message="no such sampler", retryable=True)
    result = Result(image_url=(), output_url="s3://b/x.out", error=failure)
    await world.ledger.finish(uid, result, NOW)
    ended = (await stub.GetTask(asked, timeout=60)).task

    assert (running.progress.step, running.progress.total) == (3, 20)
    assert running.started_at.ToDatetime(UTC) == NOW
    assert (ended.state, ended.output_url) == ("failed", "s3://b/x.out")
    assert ended.finished_at.ToDatetime(UTC) == NOW
    assert ended.error == TaskError(
        code="runtime_error", message="no such sampler", retryable=True
    )


async def test_a_task_that_does_not_exist_is_not_found(stub: RouterServiceAsyncStub) -> None:
    with pytest.raises(RejectedError) as caught, translated("get"):
        await stub.GetTask(router_pb2.GetTaskRequest(id="none", reader=READER), timeout=60)
    assert caught.value.code == "task_not_found"


async def test_tasks_are_listed_newest_first_with_a_cursor(
    stub: RouterServiceAsyncStub,
) -> None:
    uids = []
    for runtime in ("fixed", "dynamic", "fixed"):
        submitted = request(runtime=runtime)
        uids.append(submitted.uid)
        await stub.SubmitTask(submitted, timeout=60)
    newest_first = sorted(uids, reverse=True)

    first = await stub.ListTasks(
        router_pb2.ListTasksRequest(limit=2, reader=READER), timeout=60
    )
    rest = await stub.ListTasks(
        router_pb2.ListTasksRequest(limit=2, before_uid=first.next_before_uid, reader=READER),
        timeout=60,
    )

    assert [task.uid for task in first.tasks] == newest_first[:2]
    assert [task.uid for task in rest.tasks] == newest_first[2:]
    assert rest.next_before_uid == ""


async def test_the_request_of_a_task_is_given_as_it_was(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    submitted = request(timeout=Duration(seconds=90), include=["cost"])
    await stub.SubmitTask(submitted, timeout=60)

    asked = router_pb2.GetSubmissionRequest(id=submitted.uid, reader=READER)
    told = json.loads((await stub.GetSubmission(asked, timeout=60)).body_json)

    assert told["task"]["content"] == {"prompt": "a dog"}
    assert told["task"]["metadata"] == {
        "id": "test-t2i",
        "runtime": "fixed",
        "tasktype": "text-to-image",
        "prefix": "output",
        "timeout_seconds": 90,
        "include": ["cost"],
        "context": {"abc": 123},
    }


@pytest.mark.parametrize(
    "wrong", [{"state": "lost"}, {"before_uid": "x"}, {"tenant": "#usage"}]
)
async def test_a_wrong_filter_or_cursor_is_refused(
    stub: RouterServiceAsyncStub, wrong: dict[str, str]
) -> None:
    with pytest.raises(RejectedError) as caught, translated("list"):
        await stub.ListTasks(router_pb2.ListTasksRequest(**wrong), timeout=60)  # type: ignore[arg-type]  # names of fields
    assert caught.value.code == "invalid_request"


async def test_runtimes_are_listed_in_the_order_of_the_configuration(
    stub: RouterServiceAsyncStub,
) -> None:
    answer = await stub.ListRuntimes(router_pb2.ListRuntimesRequest(), timeout=60)
    fixed, dynamic, comfy = answer.runtimes
    assert (fixed.name, fixed.model_filename) == ("fixed", "v1-5.safetensors")
    assert (dynamic.name, dynamic.dynamic_model) == ("dynamic", True)
    assert (comfy.type, list(comfy.tasktypes)) == ("comfyui", ["pipeline"])


async def test_a_time_limit_travels_to_the_agent(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    await stub.SubmitTask(request(timeout=Duration(seconds=90, nanos=500_000_000)), timeout=60)
    await stub.SubmitTask(request(), timeout=60)
    limits = [message.timeout_seconds for _, _, message in world.topic.published]
    assert limits == [90.5, None]


async def test_a_key_that_is_used_again_answers_with_the_first_submission(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    key = {"idempotency_key": "secret-key", "fingerprint": "f"}
    first = await stub.SubmitTask(request(**key), timeout=60)
    assert await stub.SubmitTask(request(**key), timeout=60) == first
    with pytest.raises(RejectedError) as caught, translated("submit"):
        await stub.SubmitTask(request(idempotency_key="secret-key"), timeout=60)
    assert caught.value.code == "idempotency_conflict"
    assert "secret-key" not in str(caught.value)
    assert list(world.ledger.records) == [first.uid]


async def test_a_task_is_taken_back_by_the_clients_id(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    submitted = await stub.SubmitTask(request(), timeout=60)
    asked = router_pb2.CancelTaskRequest(id="test-t2i", reader=READER)
    answer = await stub.CancelTask(asked, timeout=60)
    assert (answer.task.uid, answer.task.state) == (submitted.uid, "cancelled")
    with pytest.raises(RejectedError) as caught, translated("cancel"):
        await stub.CancelTask(asked, timeout=60)
    assert caught.value.code == "already_finished"


async def test_files_are_linked(stub: RouterServiceAsyncStub, world: World) -> None:
    submitted = await stub.SubmitTask(request(), timeout=60)
    (uid,) = world.ledger.records
    result = Result(image_url=("s3://b/1.png", "s3://b/2.png"), output_url="s3://b/x.out")
    await world.ledger.finish(uid, result, NOW)
    asked = router_pb2.LinkFilesRequest(uid=submitted.uid, seconds=60, reader=READER)
    answer = await stub.LinkFiles(asked, timeout=60)
    assert list(answer.image_url) == [
        "https://b/1.png?seconds=60", "https://b/2.png?seconds=60"
    ]  # fmt: skip
    assert answer.output_url == "https://b/x.out?seconds=60"


async def test_what_a_runtime_offers_is_sent_once(stub: RouterServiceAsyncStub) -> None:
    asked = router_pb2.GetListingsRequest(runtime="dynamic")
    first = await stub.GetListings(asked, timeout=60)
    asked.etag = first.etag
    second = await stub.GetListings(asked, timeout=60)
    assert (first.text, second.text, second.etag) == (b"dynamic", b"", "e1")
    with pytest.raises(RejectedError) as caught, translated("listings"):
        await stub.GetListings(router_pb2.GetListingsRequest(runtime="../x"), timeout=60)
    assert caught.value.code == "not_found"


async def read(stub: RouterServiceAsyncStub, **asked: Any) -> bytes:
    request = router_pb2.ReadFileRequest(**asked)
    with translated("read"):
        return b"".join([each.part async for each in stub.ReadFile(request, timeout=60)])


async def test_a_file_is_read_by_its_place_among_the_images(
    stub: RouterServiceAsyncStub, world: World
) -> None:
    await stub.SubmitTask(request(), timeout=60)
    (uid,) = world.ledger.records
    result = Result(image_url=("s3://b/1.png", "s3://b/2.png"), output_url="s3://b/x.out")
    await world.ledger.finish(uid, result, NOW)

    assert await read(stub, uid=uid, image=1, reader=READER) == b"read from s3://b/2.png"
    assert await read(stub, uid=uid, reader=READER) == b"read from s3://b/x.out"
    for wrong, code in (
        ({"image": 2}, "not_found"),
        ({"image": -1}, "not_found"),
        ({"uid": "x"}, "invalid_request"),
        ({"reader": router_pb2.Reader(tenant="another")}, "task_not_found"),
    ):
        with pytest.raises(RejectedError) as caught:
            await read(stub, **{"uid": uid, "reader": READER, **wrong})
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"uid": "x", "seconds": 60}, "invalid_request"),
        ({"uid": new_uid(), "seconds": 60}, "task_not_found"),
        ({"uid": new_uid(), "seconds": 0}, "invalid_request"),
        ({"uid": new_uid(), "seconds": 604_801}, "invalid_request"),
    ],
)
async def test_wrong_links_are_refused(
    stub: RouterServiceAsyncStub, wrong: dict[str, Any], code: str
) -> None:
    with pytest.raises(RejectedError) as caught, translated("link"):
        await stub.LinkFiles(router_pb2.LinkFilesRequest(**wrong), timeout=60)
    assert caught.value.code == code


@pytest.mark.parametrize("reader", [None, router_pb2.Reader(tenant="another")])
async def test_who_is_not_of_the_tenant_finds_nothing_by_any_method(
    stub: RouterServiceAsyncStub, reader: router_pb2.Reader | None
) -> None:
    uid = (await stub.SubmitTask(request(), timeout=60)).uid
    listed = await stub.ListTasks(router_pb2.ListTasksRequest(limit=9, reader=reader))
    assert list(listed.tasks) == []
    for call in (
        stub.GetTask(router_pb2.GetTaskRequest(id=uid, reader=reader)),
        stub.GetTask(router_pb2.GetTaskRequest(id="test-t2i", reader=reader)),
        stub.CancelTask(router_pb2.CancelTaskRequest(id=uid, reader=reader)),
        stub.LinkFiles(router_pb2.LinkFilesRequest(uid=uid, seconds=60, reader=reader)),
    ):
        with pytest.raises(RejectedError) as caught, translated("look"):
            await call
        assert caught.value.code == "task_not_found"
