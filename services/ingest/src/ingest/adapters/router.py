"""The router over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contracts.keys import KeyScope, Quota
from contracts.state import TaskState
from darkroom.router.v1 import router_pb2, router_pb2_grpc
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Accepted, Caller, Idempotency, Submission
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.router.v1.router_pb2_grpc import RouterServiceAsyncStub

_FILE_SECONDS: Final = 300  # to a client that reads slowly


class GrpcRouter:
    """Asks the router; each call ends within its timeout, whatever happens."""

    def __init__(
        self, channel: grpc.aio.Channel, *, timeout: timedelta, submit_timeout: timedelta
    ) -> None:
        self._stub: RouterServiceAsyncStub = router_pb2_grpc.RouterServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self._seconds = timeout.total_seconds()
        self._submit_seconds = submit_timeout.total_seconds()

    async def submit(
        self, submission: Submission, caller: Caller, idempotency: Idempotency | None = None
    ) -> Accepted:
        request = router_pb2.SubmitTaskRequest(
            uid=submission.uid,
            id=submission.id,
            runtime=submission.runtime,
            tasktype=submission.tasktype,
            prefix=submission.prefix,
            context_json=submission.context_json,
            content_json=submission.content,
            checkpoint=submission.checkpoint,
            tenant=caller.tenant,
            key=caller.name,
            idempotency_key=idempotency.key if idempotency else "",
            fingerprint=idempotency.fingerprint if idempotency else "",
            previews=submission.previews or "",
            include=submission.include,
            callback_url=submission.callback_url,
        )
        quota = caller.quota
        if quota != Quota():
            request.quota.CopyFrom(
                router_pb2.Quota(
                    open_tasks=quota.open_tasks or 0,
                    daily_images=quota.daily_images or 0,
                    monthly_budget=str(quota.monthly_budget or ""),
                )
            )
        if submission.timeout is not None:
            request.timeout.FromTimedelta(submission.timeout)
        if submission.inputs is not None:
            request.inputs.paths[:] = submission.inputs
            request.inputs.SetInParent()
        with translated("router.SubmitTask"):
            answer = await self._stub.SubmitTask(request, timeout=self._submit_seconds)
        return Accepted(
            uid=answer.uid, runtime=answer.runtime, output_location=answer.output_location
        )

    async def task(self, id: str, caller: Caller) -> TaskRecord:
        request = router_pb2.GetTaskRequest(id=id, reader=reader_of(caller))
        with translated("router.GetTask"):
            return (await self._stub.GetTask(request, timeout=self._seconds)).task

    async def request(self, id: str, caller: Caller) -> bytes:
        request = router_pb2.GetSubmissionRequest(id=id, reader=reader_of(caller))
        with translated("router.GetSubmission"):
            return (await self._stub.GetSubmission(request, timeout=self._seconds)).body_json

    async def tasks(
        self,
        caller: Caller,
        *,
        runtime: str,
        state: TaskState | None,
        tenant: str,
        text: str,
        limit: int,
        before_uid: str,
    ) -> router_pb2.ListTasksResponse:
        request = router_pb2.ListTasksRequest(
            runtime=runtime,
            state=state or "",
            tenant=tenant,
            text=text,
            limit=limit,
            before_uid=before_uid,
            reader=reader_of(caller),
        )
        with translated("router.ListTasks"):
            return await self._stub.ListTasks(request, timeout=self._seconds)

    async def cancel(self, id: str, caller: Caller) -> TaskRecord:
        request = router_pb2.CancelTaskRequest(id=id, reader=reader_of(caller))
        with translated("router.CancelTask"):
            return (await self._stub.CancelTask(request, timeout=self._submit_seconds)).task

    async def links(self, uid: str, seconds: int, caller: Caller) -> tuple[str, ...]:
        request = router_pb2.LinkFilesRequest(
            uid=uid, seconds=seconds, reader=reader_of(caller)
        )
        with translated("router.LinkFiles"):
            answer = await self._stub.LinkFiles(request, timeout=self._seconds)
        return (*answer.image_url, *filter(None, [answer.output_url]))

    async def listings(self, runtime: str, etag: str) -> tuple[str, bytes]:
        request = router_pb2.GetListingsRequest(runtime=runtime, etag=etag)
        with translated("router.GetListings"):
            answer = await self._stub.GetListings(request, timeout=self._seconds)
        return answer.etag, answer.text

    async def file(self, uid: str, image: int | None, caller: Caller) -> AsyncIterator[bytes]:
        request = router_pb2.ReadFileRequest(uid=uid, image=image, reader=reader_of(caller))
        call = self._stub.ReadFile(request, timeout=_FILE_SECONDS)
        try:
            with translated("router.ReadFile"):
                async for answer in call:
                    yield answer.part
        finally:
            call.cancel()

    async def usage(self, caller: Caller, first: date, last: date) -> Sequence[router_pb2.Used]:
        request = router_pb2.GetUsageRequest(
            reader=reader_of(caller), first_day=first.isoformat(), last_day=last.isoformat()
        )
        with translated("router.GetUsage"):
            return (await self._stub.GetUsage(request, timeout=self._seconds)).used

    async def runtimes(self) -> Sequence[router_pb2.Runtime]:
        request = router_pb2.ListRuntimesRequest()
        with translated("router.ListRuntimes"):
            return (await self._stub.ListRuntimes(request, timeout=self._seconds)).runtimes

    async def is_serving(self) -> bool:
        request = health_pb2.HealthCheckRequest()
        try:
            answer = await self._health.Check(request, timeout=self._seconds)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def reader_of(caller: Caller) -> router_pb2.Reader:
    """What the router may show."""
    return router_pb2.Reader(tenant=caller.tenant, all_tenants=caller.scope is KeyScope.ADMIN)
