from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from queue_agent_fakes import message

from contracts.callback import Failure
from contracts.cost import Cost
from contracts.ids import new_uid
from contracts.ids import uid as checked_uid
from contracts.state import Progress
from contracts.verdict import Verdict
from darkroom.notifier.v1 import notifier_pb2 as pb
from darkroom.notifier.v1.notifier_pb2_grpc import (
    NotifierServiceServicer,
    NotifierServiceStub,
    add_NotifierServiceServicer_to_server,
)
from darkroom.task.v1.task_pb2 import TaskCost, TaskError
from queue_agent.domain import Begun, Incoming, Stored
from queue_agent.notifier_client import NOBODY, GrpcNotifier
from servicekit import rpc
from servicekit.errors import TransientError

CANCELLED = 9
OPEN = new_uid()


class Servicer(NotifierServiceServicer):
    """Records its calls and answers what the test wants."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.verdict: pb.Verdict.ValueType = pb.VERDICT_PROCEED

    async def BeginAttempt(  # noqa: N802  # the protocol's name
        self, request: pb.BeginAttemptRequest, context: object
    ) -> pb.BeginAttemptResponse:
        self.told.append(request)
        return pb.BeginAttemptResponse(verdict=self.verdict, attempt=3)

    async def ReportProgress(  # noqa: N802  # the protocol's name
        self, request: pb.ReportProgressRequest, context: object
    ) -> pb.ReportProgressResponse:
        self.told.append(request)
        return pb.ReportProgressResponse(cancelled=request.attempt == CANCELLED)

    async def ReleaseAttempt(  # noqa: N802  # the protocol's name
        self, request: pb.ReleaseAttemptRequest, context: object
    ) -> pb.ReleaseAttemptResponse:
        self.told.append(request)
        return pb.ReleaseAttemptResponse()

    async def FinishTask(  # noqa: N802  # the protocol's name
        self, request: pb.FinishTaskRequest, context: object
    ) -> pb.FinishTaskResponse:
        self.told.append(request)
        return pb.FinishTaskResponse(committed=True)

    async def CheckTask(  # noqa: N802  # the protocol's name
        self, request: pb.CheckTaskRequest, context: object
    ) -> pb.CheckTaskResponse:
        return pb.CheckTaskResponse(open=request.uid == OPEN)

    async def SettleCancel(  # noqa: N802  # the protocol's name
        self, request: pb.SettleCancelRequest, context: object
    ) -> pb.SettleCancelResponse:
        raise NotImplementedError

    def WatchTask(  # noqa: N802  # the protocol's name
        self, request: pb.WatchTaskRequest, context: object
    ) -> AsyncIterator[pb.WatchTaskResponse]:
        raise NotImplementedError


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
async def notifier(servicer: Servicer) -> AsyncIterator[GrpcNotifier]:
    server = grpc.aio.server()
    add_NotifierServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with rpc.channel(f"127.0.0.1:{port}") as channel:
        yield GrpcNotifier(stub=NotifierServiceStub(channel), agent="agent-1")
    await server.stop(0)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (pb.VERDICT_PROCEED, Verdict.PROCEED),
        (pb.VERDICT_FINISHED, Verdict.FINISHED),
        (pb.VERDICT_UNKNOWN, Verdict.UNKNOWN),
        (pb.VERDICT_POISONED, Verdict.POISONED),
    ],
)
async def test_verdict_comes_through(
    notifier: GrpcNotifier, servicer: Servicer, verdict: pb.Verdict.ValueType, expected: Verdict
) -> None:
    servicer.verdict = verdict
    incoming = Incoming(message=message())

    assert await notifier.begin(incoming, 4) == Begun(verdict=expected, attempt=3)
    uid = incoming.message.uid
    assert servicer.told == [
        pb.BeginAttemptRequest(uid=uid, agent="agent-1", receives=4, tells_start=True)
    ]


async def test_a_task_without_a_record_is_described(
    notifier: GrpcNotifier, servicer: Servicer
) -> None:
    sent = message(accepted_at=datetime(2026, 1, 2, tzinfo=UTC))

    await notifier.begin(Incoming(message=sent, context_json='{"a": 1}'), 1)

    (told,) = servicer.told
    task = told.new_task
    assert (task.id, task.runtime, task.tasktype) == ("test-1", "sdruntime", "text-to-image")
    assert (task.bucket, task.prefix, task.context_json) == ("bucket", "output", '{"a": 1}')
    assert task.accepted_at.ToDatetime(UTC) == sent.accepted_at


async def test_no_verdict_is_asked_for_again(
    notifier: GrpcNotifier, servicer: Servicer
) -> None:
    servicer.verdict = pb.VERDICT_UNSPECIFIED

    with pytest.raises(TransientError):
        await notifier.begin(Incoming(message=message()), 1)


async def test_progress_and_ends_are_told(notifier: GrpcNotifier, servicer: Servicer) -> None:
    uid = new_uid()
    failure = Failure(code="timeout", message="slow", retryable=True)

    start = datetime(2026, 1, 2, tzinfo=UTC)
    stamp = Timestamp(seconds=int(start.timestamp()))

    await notifier.report(uid, 2, Progress(step=1, total=4))
    await notifier.report(uid, 2, None, start)
    done = Stored(
        image_url=("s3://b/1",),
        output_url="s3://b/o",
        failure=None,
        warnings=("other",),
        started_at=start,
    )
    assert await notifier.finish(uid, 2, done)
    await notifier.finish(uid, 2, Stored(image_url=(), output_url="s3://b/o", failure=failure))

    assert servicer.told == [
        pb.ReportProgressRequest(uid=uid, attempt=2, step=1, total=4),
        pb.ReportProgressRequest(uid=uid, attempt=2, started_at=stamp),
        pb.FinishTaskRequest(
            uid=uid,
            attempt=2,
            image_url=["s3://b/1"],
            output_url="s3://b/o",
            warnings=["other"],
            started_at=stamp,
        ),
        pb.FinishTaskRequest(
            uid=uid,
            attempt=2,
            output_url="s3://b/o",
            error=TaskError(code="timeout", message="slow", retryable=True),
        ),
    ]
    assert not servicer.told[2].HasField("error")


async def test_call_without_news_hears_of_a_cancel(
    notifier: GrpcNotifier, servicer: Servicer
) -> None:
    uid = new_uid()

    assert not await notifier.report(uid, 1, None)
    assert await notifier.report(uid, CANCELLED, None)

    assert servicer.told[0] == pb.ReportProgressRequest(uid=uid, attempt=1)


async def test_releases_and_cancelled_ends_are_told(
    notifier: GrpcNotifier, servicer: Servicer
) -> None:
    uid = new_uid()
    end = Stored(image_url=(), output_url="s3://b/o", failure=None, cancelled=True)

    await notifier.release(uid, 2, interrupted=True, reason="the agent stops")
    await notifier.finish(uid, 2, end)

    assert servicer.told == [
        pb.ReleaseAttemptRequest(
            uid=uid, attempt=2, interrupted=True, reason="the agent stops"
        ),
        pb.FinishTaskRequest(uid=uid, attempt=2, output_url="s3://b/o", cancelled=True),
    ]


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (Cost(gpu_ms=0), TaskCost(gpu_ms=0)),
        (
            Cost(gpu_ms=7, micros=0, currency="USD", node_type="g5.xlarge", capacity="spot"),
            TaskCost(
                gpu_ms=7,
                amount_micros=0,
                currency="USD",
                node_type="g5.xlarge",
                capacity="spot",
            ),
        ),
    ],
)
async def test_the_cost_of_an_attempt_is_told_with_its_end(
    notifier: GrpcNotifier, servicer: Servicer, cost: Cost, told: TaskCost
) -> None:
    end = Stored(image_url=(), output_url="s3://b/o", failure=None, cost=cost)

    await notifier.release(new_uid(), 1, interrupted=True, reason="", cost=cost)
    await notifier.finish(new_uid(), 2, end)

    assert [request.cost for request in servicer.told] == [told, told]


async def test_check_asks_for_a_record_that_is_not_there_and_changes_nothing(
    notifier: GrpcNotifier, servicer: Servicer
) -> None:
    await notifier.check()

    [asked] = servicer.told
    assert (asked.uid, asked.attempt, asked.total) == (NOBODY, 0, 0)
    assert checked_uid(asked.uid) == NOBODY


async def test_absent_notifier_is_transient() -> None:
    async with rpc.channel("127.0.0.1:1") as channel:
        absent = GrpcNotifier(stub=NotifierServiceStub(channel), agent="agent-1")

        with pytest.raises(TransientError):
            await absent.report(new_uid(), 1, Progress(step=1, total=1))


async def test_a_task_is_open_as_the_notifier_says(notifier: GrpcNotifier) -> None:
    assert await notifier.is_open(OPEN)
    assert not await notifier.is_open(new_uid())
