from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from notifier_fakes import UID, World

from contracts.ids import new_uid
from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from ledger.record import Progress
from notifier.rpc import NotifierService
from provisioning.emulator import HOST, free_port
from servicekit.errors import RejectedError, TransientError
from servicekit.health import Health
from servicekit.rpc import channel, serving, translated

if TYPE_CHECKING:
    from darkroom.notifier.v1.notifier_pb2_grpc import NotifierServiceAsyncStub


@pytest.fixture
async def stub(world: World) -> AsyncIterator[NotifierServiceAsyncStub]:
    """A client of a notifier that has fakes behind it."""
    service = NotifierService(world.settle)
    address = f"{HOST}:{free_port()}"
    async with (
        serving(
            address,
            Health(),
            (),
            lambda server: notifier_pb2_grpc.add_NotifierServiceServicer_to_server(
                service, server
            ),
        ),
        channel(address) as opened,
    ):
        yield notifier_pb2_grpc.NotifierServiceStub(opened)


def begin(uid: str) -> notifier_pb2.BeginAttemptRequest:
    return notifier_pb2.BeginAttemptRequest(uid=uid, agent="agent-1")


def finish(**changes: object) -> notifier_pb2.FinishTaskRequest:
    return notifier_pb2.FinishTaskRequest(
        uid=UID,
        attempt=1,
        image_url=["s3://b/1.png"],
        output_url="s3://b/x.out",
        **changes,  # type: ignore[arg-type]  # any fields
    )


async def test_a_delivery_is_judged(stub: NotifierServiceAsyncStub) -> None:
    first = await stub.BeginAttempt(begin(UID), timeout=5)
    unknown = await stub.BeginAttempt(begin(new_uid()), timeout=5)
    await stub.FinishTask(finish(), timeout=5)
    finished = await stub.BeginAttempt(begin(UID), timeout=5)

    assert (first.verdict, first.attempt) == (notifier_pb2.VERDICT_PROCEED, 1)
    assert unknown.verdict == notifier_pb2.VERDICT_UNKNOWN
    assert (finished.verdict, finished.attempt) == (notifier_pb2.VERDICT_FINISHED, 0)


async def test_only_the_first_result_is_committed(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    error = notifier_pb2.TaskError(code="runtime_error", message="x", retryable=True)
    first = await stub.FinishTask(finish(error=error), timeout=5)
    second = await stub.FinishTask(finish(), timeout=5)
    assert (first.committed, second.committed) == (True, False)
    (callback,) = world.callbacks
    assert callback.error is not None
    assert callback.error.model_dump() == {
        "code": "runtime_error", "message": "x", "retryable": True
    }  # fmt: skip


async def test_a_result_without_an_error_is_completed_with_its_images(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.FinishTask(finish(), timeout=5)
    (callback,) = world.callbacks
    assert (callback.status, callback.image_url) == ("completed", ["s3://b/1.png"])


async def test_progress_is_kept_within_its_bounds(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.BeginAttempt(begin(UID), timeout=5)
    wrong = notifier_pb2.ReportProgressRequest(uid=UID, attempt=1, step=-1, total=0)
    await stub.ReportProgress(wrong, timeout=5)
    assert world.record.progress == Progress(step=0, total=1)


async def test_a_topic_that_is_down_is_unavailable(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    world.topic.down = True
    with pytest.raises(TransientError), translated("finish"):
        await stub.FinishTask(finish(), timeout=5)
    assert world.record.callback_due


async def test_what_is_no_uid_is_refused(stub: NotifierServiceAsyncStub) -> None:
    with pytest.raises(RejectedError) as caught, translated("begin"):
        await stub.BeginAttempt(begin("../x"), timeout=5)
    assert caught.value.code == "invalid_request"
    assert [error.field for error in caught.value.errors] == ["uid"]
