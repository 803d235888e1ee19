from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from notifier_fakes import NOW, UID, World

from contracts.cost import Cost
from contracts.ids import new_uid
from contracts.state import Progress, TaskState
from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from darkroom.task.v1.task_pb2 import TaskCost, TaskError
from notifier.rpc import NotifierService
from servicekit.errors import RejectedError, TransientError
from servicekit.health import Health
from servicekit.listen import HOST, free_port
from servicekit.rpc import channel, serving, translated

if TYPE_CHECKING:
    from darkroom.notifier.v1.notifier_pb2_grpc import NotifierServiceAsyncStub


@pytest.fixture
async def stub(world: World) -> AsyncIterator[NotifierServiceAsyncStub]:
    """A client of a notifier that has fakes behind it."""
    service = NotifierService(world.settle, world.watch(limit=1))
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
    first = await stub.BeginAttempt(begin(UID), timeout=60)
    unknown = await stub.BeginAttempt(begin(new_uid()), timeout=60)
    await stub.FinishTask(finish(), timeout=60)
    finished = await stub.BeginAttempt(begin(UID), timeout=60)

    assert (first.verdict, first.attempt) == (notifier_pb2.VERDICT_PROCEED, 1)
    assert unknown.verdict == notifier_pb2.VERDICT_UNKNOWN
    assert (finished.verdict, finished.attempt) == (notifier_pb2.VERDICT_FINISHED, 0)


async def test_what_a_runtime_did_otherwise_is_told(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.FinishTask(finish(warnings=["another sampler"]), timeout=60)

    (callback,) = world.callbacks
    assert callback.warnings == ("another sampler",)


async def test_what_attempts_have_cost_is_kept_and_nothing_below_zero(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.BeginAttempt(begin(UID), timeout=60)
    wrong = TaskCost(gpu_ms=-5, amount_micros=-5, currency="USD")
    released = notifier_pb2.ReleaseAttemptRequest(uid=UID, attempt=1, cost=wrong)
    await stub.ReleaseAttempt(released, timeout=60)
    await stub.BeginAttempt(begin(UID), timeout=60)
    cost = TaskCost(gpu_ms=9, amount_micros=4, currency="USD", node_type="g5.xlarge")
    ended = finish(cost=cost)
    ended.attempt = 2
    await stub.FinishTask(ended, timeout=60)

    assert world.record.cost == Cost(gpu_ms=9, micros=4, currency="USD", node_type="g5.xlarge")


async def test_an_agent_that_tells_no_cost_is_none_that_costs_nothing(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.FinishTask(finish(), timeout=60)
    assert world.record.cost is None


async def test_only_the_first_result_is_committed(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    error = TaskError(code="runtime_error", message="x", retryable=True)
    first = await stub.FinishTask(finish(error=error), timeout=60)
    second = await stub.FinishTask(finish(), timeout=60)
    assert (first.committed, second.committed) == (True, False)
    (callback,) = world.callbacks
    assert callback.error is not None
    assert callback.error.model_dump() == {
        "code": "runtime_error", "message": "x", "retryable": True
    }  # fmt: skip


async def test_a_task_is_open_until_it_ends(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    asked = [notifier_pb2.CheckTaskRequest(uid=uid) for uid in (UID, new_uid())]
    before = [(await stub.CheckTask(one, timeout=60)).open for one in asked]
    await stub.FinishTask(finish(), timeout=60)
    after = await stub.CheckTask(asked[0], timeout=60)
    assert (before, after.open) == ([True, False], False)


async def test_a_result_without_an_error_is_completed_with_its_images(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.FinishTask(finish(), timeout=60)
    (callback,) = world.callbacks
    assert (callback.status, callback.image_url) == ("completed", ["s3://b/1.png"])


async def test_progress_is_kept_within_its_bounds(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.BeginAttempt(begin(UID), timeout=60)
    wrong = notifier_pb2.ReportProgressRequest(uid=UID, attempt=1, step=-1, total=1)
    answer = await stub.ReportProgress(wrong, timeout=60)
    assert world.record.progress == Progress(step=0, total=1)
    assert not answer.cancelled


async def test_a_heartbeat_writes_nothing_and_tells_of_the_mark(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.BeginAttempt(begin(UID), timeout=60)
    heartbeat = notifier_pb2.ReportProgressRequest(uid=UID, attempt=1)
    before = await stub.ReportProgress(heartbeat, timeout=60)
    marked = await world.ledger.mark_cancelled(UID)
    after = await stub.ReportProgress(heartbeat, timeout=60)
    assert (before.cancelled, after.cancelled) == (False, True)
    assert world.record == marked


async def test_the_number_of_deliveries_poisons_a_task(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    request = notifier_pb2.BeginAttemptRequest(uid=UID, agent="agent-1", receives=10)
    for _ in range(2):
        answer = await stub.BeginAttempt(request, timeout=60)
        assert (answer.verdict, answer.attempt) == (notifier_pb2.VERDICT_POISONED, 0)
    (callback,) = world.callbacks
    assert callback.error is not None
    assert callback.error.code == "poisoned"


async def test_a_release_is_noted(stub: NotifierServiceAsyncStub, world: World) -> None:
    await stub.BeginAttempt(begin(UID), timeout=60)
    request = notifier_pb2.ReleaseAttemptRequest(
        uid=UID, attempt=1, interrupted=True, reason="SIGTERM"
    )
    for _ in range(2):
        await stub.ReleaseAttempt(request, timeout=60)
    record = world.record
    assert (record.state, record.interruptions, record.failures) == (TaskState.QUEUED, 1, 0)
    assert record.last_reason == "SIGTERM"


async def test_a_running_task_is_cancelled_by_its_agent(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.BeginAttempt(begin(UID), timeout=60)
    await world.ledger.mark_cancelled(UID)
    settle = notifier_pb2.SettleCancelRequest(uid=UID)
    left = await stub.SettleCancel(settle, timeout=60)
    ended = await stub.FinishTask(
        notifier_pb2.FinishTaskRequest(uid=UID, attempt=1, cancelled=True), timeout=60
    )
    settled = await stub.SettleCancel(settle, timeout=60)
    assert (left.cancelled, ended.committed, settled.cancelled) == (False, True, True)
    (callback,) = world.callbacks
    assert (callback.status, callback.result, callback.output_url) == ("cancelled", False, None)


async def test_a_watcher_gets_each_change_to_the_end(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    call = stub.WatchTask(notifier_pb2.WatchTaskRequest(uid=UID), timeout=60)
    found: list[Any] = [await call.read()]
    await stub.BeginAttempt(begin(UID), timeout=60)
    found.append(await call.read())
    report = notifier_pb2.ReportProgressRequest(uid=UID, attempt=1, step=3, total=20)
    await stub.ReportProgress(report, timeout=60)
    found.append(await call.read())
    await stub.FinishTask(finish(), timeout=60)
    found += [answer async for answer in call]

    assert [(a.sequence, a.task.state) for a in found] == [
        (1, "queued"),
        (2, "running"),
        (3, "running"),
        (4, "completed"),
    ]
    assert (found[2].task.progress.step, found[2].task.progress.total) == (3, 20)
    assert world.changes.watchers == 0


def at(seconds: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(NOW + timedelta(seconds=seconds))
    return stamp


def staged(uid: str) -> notifier_pb2.BeginAttemptRequest:
    return notifier_pb2.BeginAttemptRequest(uid=uid, agent="agent-1", tells_start=True)


async def test_a_task_is_queued_for_watchers_until_its_runtime_has_begun(
    stub: NotifierServiceAsyncStub,
) -> None:
    call = stub.WatchTask(notifier_pb2.WatchTaskRequest(uid=UID), timeout=60)
    found: list[Any] = [await call.read()]
    await stub.BeginAttempt(staged(UID), timeout=60)
    found.append(await call.read())
    report = notifier_pb2.ReportProgressRequest(uid=UID, attempt=1)
    await stub.ReportProgress(report, timeout=60)
    report.started_at.CopyFrom(at(7))
    await stub.ReportProgress(report, timeout=60)
    found.append(await call.read())
    await stub.FinishTask(finish(started_at=at(8)), timeout=60)
    found += [answer async for answer in call]

    assert [(a.sequence, a.task.state, a.task.attempt) for a in found] == [
        (1, "queued", 0),
        (2, "queued", 1),
        (3, "running", 1),
        (4, "completed", 1),
    ]
    assert [a.task.HasField("started_at") for a in found] == [False, False, True, True]
    assert found[3].task.started_at == at(7)


async def test_a_result_that_comes_before_its_start_tells_it(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.BeginAttempt(staged(UID), timeout=60)
    await stub.FinishTask(finish(started_at=at(7)), timeout=60)
    assert world.record.started_at == NOW + timedelta(seconds=7)


async def test_a_staged_task_that_is_taken_back_ends_and_its_agent_hears_of_it(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    await stub.BeginAttempt(staged(UID), timeout=60)
    await world.ledger.mark_cancelled(UID)
    settle = notifier_pb2.SettleCancelRequest(uid=UID)
    assert (await stub.SettleCancel(settle, timeout=60)).cancelled
    report = notifier_pb2.ReportProgressRequest(uid=UID, attempt=1, started_at=at(1))
    assert (await stub.ReportProgress(report, timeout=60)).cancelled
    late = await stub.FinishTask(finish(started_at=at(1)), timeout=60)
    assert not late.committed
    assert [callback.status for callback in world.callbacks] == ["cancelled"]


async def test_too_many_watchers_are_told_to_come_again(
    stub: NotifierServiceAsyncStub,
) -> None:
    first = stub.WatchTask(notifier_pb2.WatchTaskRequest(uid=UID), timeout=60)
    await first.read()
    with pytest.raises(TransientError), translated("watch"):
        await stub.WatchTask(notifier_pb2.WatchTaskRequest(uid=UID), timeout=60).read()
    first.cancel()


async def test_a_watcher_of_no_task_is_refused(stub: NotifierServiceAsyncStub) -> None:
    with pytest.raises(RejectedError) as caught, translated("watch"):
        await stub.WatchTask(notifier_pb2.WatchTaskRequest(uid=new_uid()), timeout=60).read()
    assert caught.value.code == "task_not_found"


async def test_a_topic_that_is_down_is_unavailable(
    stub: NotifierServiceAsyncStub, world: World
) -> None:
    world.topic.down = True
    with pytest.raises(TransientError), translated("finish"):
        await stub.FinishTask(finish(), timeout=60)
    assert world.record.callback_due


async def test_what_is_no_uid_is_refused(stub: NotifierServiceAsyncStub) -> None:
    with pytest.raises(RejectedError) as caught, translated("begin"):
        await stub.BeginAttempt(begin("../x"), timeout=60)
    assert caught.value.code == "invalid_request"
    assert [error.field for error in caught.value.errors] == ["uid"]
