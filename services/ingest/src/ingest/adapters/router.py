"""The router over gRPC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc

from darkroom.router.v1 import router_pb2, router_pb2_grpc
from ingest.domain import (
    Accepted,
    Failure,
    Page,
    Progress,
    Runtime,
    Submission,
    Task,
    TaskState,
)
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.router.v1.router_pb2_grpc import RouterServiceAsyncStub


class GrpcRouter:
    """Asks the router; each call ends within its timeout, whatever happens."""

    def __init__(
        self, channel: grpc.aio.Channel, *, timeout: timedelta, submit_timeout: timedelta
    ) -> None:
        self._stub: RouterServiceAsyncStub = router_pb2_grpc.RouterServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self._seconds = timeout.total_seconds()
        self._submit_seconds = submit_timeout.total_seconds()

    async def submit(self, submission: Submission, tenant: str) -> Accepted:
        request = router_pb2.SubmitTaskRequest(
            uid=submission.uid,
            id=submission.id,
            runtime=submission.runtime,
            tasktype=submission.tasktype,
            prefix=submission.prefix,
            context_json=submission.context_json,
            content_json=submission.content,
            checkpoint=submission.checkpoint,
            tenant=tenant,
        )
        with translated("router.SubmitTask"):
            answer = await self._stub.SubmitTask(request, timeout=self._submit_seconds)
        return Accepted(runtime=answer.runtime, output_location=answer.output_location)

    async def task(self, id: str) -> Task:
        request = router_pb2.GetTaskRequest(id=id)
        with translated("router.GetTask"):
            answer = await self._stub.GetTask(request, timeout=self._seconds)
        return _task(answer.task)

    async def tasks(
        self, *, runtime: str, state: TaskState | None, limit: int, before_uid: str
    ) -> Page:
        request = router_pb2.ListTasksRequest(
            runtime=runtime, state=state or "", limit=limit, before_uid=before_uid
        )
        with translated("router.ListTasks"):
            answer = await self._stub.ListTasks(request, timeout=self._seconds)
        return Page(
            tasks=tuple(_task(record) for record in answer.tasks),
            next_before_uid=answer.next_before_uid or None,
        )

    async def runtimes(self) -> tuple[Runtime, ...]:
        request = router_pb2.ListRuntimesRequest()
        with translated("router.ListRuntimes"):
            answer = await self._stub.ListRuntimes(request, timeout=self._seconds)
        return tuple(_runtime(runtime) for runtime in answer.runtimes)

    async def is_serving(self) -> bool:
        request = health_pb2.HealthCheckRequest()
        try:
            answer = await self._health.Check(request, timeout=self._seconds)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _runtime(runtime: router_pb2.Runtime) -> Runtime:
    return Runtime(
        name=runtime.name,
        type=runtime.type,
        model_filename=runtime.model_filename or None,
        dynamic_model=runtime.dynamic_model,
        tasktypes=tuple(runtime.tasktypes),
    )


def _task(record: router_pb2.TaskRecord) -> Task:
    error, progress = record.error, record.progress
    return Task(
        uid=record.uid,
        id=record.id,
        runtime=record.runtime,
        tasktype=record.tasktype,
        state=TaskState(record.state),
        attempt=record.attempt,
        context_json=record.context_json or "{}",
        created_at=_time(record.created_at),
        started_at=_time(record.started_at) if record.HasField("started_at") else None,
        finished_at=_time(record.finished_at) if record.HasField("finished_at") else None,
        output_location=record.output_location,
        image_url=tuple(record.image_url),
        output_url=record.output_url or None,
        error=Failure(code=error.code, message=error.message, retryable=error.retryable)
        if record.HasField("error")
        else None,
        progress=Progress(step=progress.step, total=progress.total)
        if record.HasField("progress")
        else None,
    )


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
