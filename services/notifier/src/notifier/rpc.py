"""The notifier's gRPC edge: wire messages in and out of the use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from contracts import ids
from contracts.callback import Failure
from contracts.cost import Cost
from contracts.kinds import TaskType
from contracts.state import Progress
from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from ledger.record import DIRECT, Record, Result
from ledger.wire import read_cost, to_wire
from notifier.settle import Settle
from notifier.watch import Watch
from servicekit.errors import FieldError, RejectedError


class NotifierService(notifier_pb2_grpc.NotifierServiceServicer):
    """Answers agents, the router and ingest; errors become statuses in servicekit.rpc."""

    def __init__(self, settle: Settle, watch: Watch) -> None:
        self._settle = settle
        self._watch = watch

    async def BeginAttempt(  # noqa: N802  # gRPC names its methods
        self, request: notifier_pb2.BeginAttemptRequest, context: Any
    ) -> notifier_pb2.BeginAttemptResponse:
        """Judge a delivery."""
        verdict, attempt = await self._settle.begin(
            _uid(request.uid),
            request.agent,
            max(request.receives, 0),
            new=_new_record(request) if request.HasField("new_task") else None,
            staged=request.tells_start,
        )
        return notifier_pb2.BeginAttemptResponse(
            verdict=notifier_pb2.Verdict.Value(f"VERDICT_{verdict.name}"), attempt=attempt
        )

    async def ReportProgress(  # noqa: N802
        self, request: notifier_pb2.ReportProgressRequest, context: Any
    ) -> notifier_pb2.ReportProgressResponse:
        """Keep the progress of an attempt, and tell whether to go on."""
        progress = None
        if request.total > 0:
            progress = Progress(step=max(request.step, 0), total=request.total)
        cancelled = await self._settle.report(
            _uid(request.uid), request.attempt, progress, _started_at(request)
        )
        return notifier_pb2.ReportProgressResponse(cancelled=cancelled)

    async def FinishTask(  # noqa: N802
        self, request: notifier_pb2.FinishTaskRequest, context: Any
    ) -> notifier_pb2.FinishTaskResponse:
        """Commit a result and send its callback."""
        error = None
        if request.HasField("error"):
            error = Failure(
                code=request.error.code,
                message=request.error.message,
                retryable=request.error.retryable,
            )
        result = Result(
            image_url=tuple(request.image_url),
            output_url=request.output_url or None,
            error=error,
            cancelled=request.cancelled,
            warnings=tuple(request.warnings),
            started_at=_started_at(request),
            attempt=request.attempt,
            cost=_cost(request),
        )
        committed = await self._settle.finish(_uid(request.uid), result)
        return notifier_pb2.FinishTaskResponse(committed=committed)

    async def CheckTask(  # noqa: N802
        self, request: notifier_pb2.CheckTaskRequest, context: Any
    ) -> notifier_pb2.CheckTaskResponse:
        """Tell whether a task has ended."""
        return notifier_pb2.CheckTaskResponse(
            open=await self._settle.is_open(_uid(request.uid))
        )

    async def ReleaseAttempt(  # noqa: N802
        self, request: notifier_pb2.ReleaseAttemptRequest, context: Any
    ) -> notifier_pb2.ReleaseAttemptResponse:
        """Note an attempt without a result."""
        await self._settle.release(
            _uid(request.uid),
            request.attempt,
            interrupted=request.interrupted,
            reason=request.reason,
            cost=_cost(request),
        )
        return notifier_pb2.ReleaseAttemptResponse()

    async def SettleCancel(  # noqa: N802
        self, request: notifier_pb2.SettleCancelRequest, context: Any
    ) -> notifier_pb2.SettleCancelResponse:
        """End a task that the router has marked, unless an agent works on it."""
        cancelled = await self._settle.settle_cancel(_uid(request.uid))
        return notifier_pb2.SettleCancelResponse(cancelled=cancelled)

    async def WatchTask(  # noqa: N802
        self, request: notifier_pb2.WatchTaskRequest, context: Any
    ) -> AsyncIterator[notifier_pb2.WatchTaskResponse]:
        """Stream the record of a task."""
        async with aclosing(self._watch(_uid(request.uid), request.after_sequence)) as found:
            async for record in found:
                yield notifier_pb2.WatchTaskResponse(
                    sequence=record.sequence, task=to_wire(record)
                )


def _uid(text: str) -> ids.Uid:
    try:
        return ids.uid(text)
    except ValueError as error:
        raise RejectedError(
            f"uid {error}", code="invalid_request", errors=(FieldError("uid", str(error)),)
        ) from error


def _started_at(
    request: notifier_pb2.ReportProgressRequest | notifier_pb2.FinishTaskRequest,
) -> datetime | None:
    return request.started_at.ToDatetime(UTC) if request.HasField("started_at") else None


def _cost(
    request: notifier_pb2.FinishTaskRequest | notifier_pb2.ReleaseAttemptRequest,
) -> Cost | None:
    return read_cost(request.cost) if request.HasField("cost") else None


def _new_record(request: notifier_pb2.BeginAttemptRequest) -> Record:
    task = request.new_task
    try:
        return Record(
            uid=_uid(request.uid),
            id=ids.task_id(task.id),
            tenant=DIRECT,
            runtime=task.runtime,
            tasktype=TaskType(task.tasktype),
            bucket=task.bucket,
            prefix=ids.prefix(task.prefix),
            context_json=task.context_json,
            created_at=task.accepted_at.ToDatetime(UTC),
        )
    except ValueError as error:
        raise RejectedError(f"new_task: {error}", code="invalid_request") from error
