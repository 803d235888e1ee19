"""The router's gRPC edge: wire messages in and out of the use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pydantic_core import to_json

from contracts import ids
from contracts.keys import Quota, tenant_name
from contracts.kinds import Extra, Previews, TaskType
from contracts.runtimes import Runtime
from contracts.state import TaskState
from darkroom.router.v1 import router_pb2, router_pb2_grpc
from ledger.usage import Usage
from ledger.wire import to_wire
from router.cancel import Cancel
from router.domain import Claim, Submission
from router.links import LinkFiles, ReadFile
from router.look_up import LookUp
from router.ports import Files
from router.requests import ReadRequest
from router.submit_once import SubmitOnce
from router.wire import read_reader, runtime_to_wire
from servicekit.errors import FieldError, RejectedError

PAGE_LIMIT = 100
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=1)  # of an attempt


class RouterService(router_pb2_grpc.RouterServiceServicer):
    """Answers ingest; errors become statuses in servicekit.rpc."""

    def __init__(
        self,
        *,
        submit: SubmitOnce,
        look_up: LookUp,
        read_request: ReadRequest,
        cancel: Cancel,
        link_files: LinkFiles,
        read_file: ReadFile,
        files: Files,
        usage: Usage,
        runtimes: Sequence[Runtime],
    ) -> None:
        self._submit = submit
        self._look_up = look_up
        self._read_request = read_request
        self._cancel = cancel
        self._link_files = link_files
        self._read_file = read_file
        self._files = files
        self._usage = usage
        self._runtimes = runtimes

    async def SubmitTask(  # noqa: N802  # gRPC names its methods
        self, request: router_pb2.SubmitTaskRequest, context: Any
    ) -> router_pb2.SubmitTaskResponse:
        """Accept one task."""
        record = await self._submit(_to_submission(request), _to_claim(request))
        return router_pb2.SubmitTaskResponse(
            runtime=record.runtime, output_location=record.place.location, uid=record.uid
        )

    async def GetTask(  # noqa: N802
        self, request: router_pb2.GetTaskRequest, context: Any
    ) -> router_pb2.GetTaskResponse:
        """One task."""
        return router_pb2.GetTaskResponse(
            task=to_wire(await self._look_up.one(request.id, read_reader(request.reader)))
        )

    async def GetSubmission(  # noqa: N802
        self, request: router_pb2.GetSubmissionRequest, context: Any
    ) -> router_pb2.GetSubmissionResponse:
        """The request of one task."""
        body = await self._read_request(request.id, read_reader(request.reader))
        return router_pb2.GetSubmissionResponse(body_json=to_json(body))

    async def ListTasks(  # noqa: N802
        self, request: router_pb2.ListTasksRequest, context: Any
    ) -> router_pb2.ListTasksResponse:
        """One page of tasks."""
        try:
            state = TaskState(request.state) if request.state else None
            before = ids.uid(request.before_uid) if request.before_uid else None
            tenant = tenant_name(request.tenant) if request.tenant else ""
        except ValueError as error:
            raise _invalid("state, before_uid or tenant", str(error)) from error
        page = await self._look_up.page(
            read_reader(request.reader),
            runtime=request.runtime,
            state=state,
            tenant=tenant,
            text=request.text,
            limit=min(max(request.limit, 1), PAGE_LIMIT),
            before=before,
        )
        return router_pb2.ListTasksResponse(
            tasks=[to_wire(record) for record in page.records],
            next_before_uid=page.next_before or "",
        )

    async def CancelTask(  # noqa: N802
        self, request: router_pb2.CancelTaskRequest, context: Any
    ) -> router_pb2.CancelTaskResponse:
        """Take one task back."""
        return router_pb2.CancelTaskResponse(
            task=to_wire(await self._cancel(request.id, read_reader(request.reader)))
        )

    async def LinkFiles(  # noqa: N802
        self, request: router_pb2.LinkFilesRequest, context: Any
    ) -> router_pb2.LinkFilesResponse:
        """Links to the files of one task."""
        uid = _uid(request.uid)
        links = await self._link_files(uid, request.seconds, read_reader(request.reader))
        return router_pb2.LinkFilesResponse(
            image_url=links.image_url, output_url=links.output_url or ""
        )

    async def GetListings(  # noqa: N802
        self, request: router_pb2.GetListingsRequest, context: Any
    ) -> router_pb2.GetListingsResponse:
        """What the server of a runtime offers."""
        if request.runtime not in {one.name for one in self._runtimes}:
            raise RejectedError("there is no such runtime", code="not_found")
        etag, text = await self._files.listings(request.runtime, request.etag)
        return router_pb2.GetListingsResponse(etag=etag, text=text)

    async def ReadFile(  # noqa: N802
        self, request: router_pb2.ReadFileRequest, context: Any
    ) -> AsyncIterator[router_pb2.ReadFileResponse]:
        """One file of one task."""
        image = request.image if request.HasField("image") else None
        async for part in self._read_file(
            _uid(request.uid), image, read_reader(request.reader)
        ):
            yield router_pb2.ReadFileResponse(part=part)

    async def GetUsage(  # noqa: N802
        self, request: router_pb2.GetUsageRequest, context: Any
    ) -> router_pb2.GetUsageResponse:
        """What was used on some days."""
        try:
            first, last = map(date.fromisoformat, (request.first_day, request.last_day))
        except ValueError as error:
            raise _invalid("first_day or last_day", str(error)) from error
        reader = read_reader(request.reader)
        used = await self._usage.used(
            first, last, tenant="" if reader.all_tenants else reader.tenant
        )
        return router_pb2.GetUsageResponse(
            used=[
                router_pb2.Used(
                    tenant=one.tenant,
                    key=one.key,
                    runtime=one.runtime,
                    day=one.day.isoformat(),
                    currency=one.currency,
                    **asdict(one.counts),
                )
                for one in used
                if reader.may_see(one.tenant)
            ]
        )

    async def ListRuntimes(  # noqa: N802
        self, request: router_pb2.ListRuntimesRequest, context: Any
    ) -> router_pb2.ListRuntimesResponse:
        """The configured runtimes."""
        return router_pb2.ListRuntimesResponse(runtimes=map(runtime_to_wire, self._runtimes))


def _uid(text: str) -> ids.Uid:
    try:
        return ids.uid(text)
    except ValueError as error:
        raise _invalid("uid", str(error)) from error


def _to_submission(request: router_pb2.SubmitTaskRequest) -> Submission:
    try:
        return Submission(
            uid=ids.uid(request.uid),
            id=ids.task_id(request.id),
            tenant=request.tenant,
            key=request.key,
            runtime=request.runtime,
            tasktype=TaskType(request.tasktype),
            prefix=ids.prefix(request.prefix),
            context_json=request.context_json,
            content_json=request.content_json,
            checkpoint=request.checkpoint,
            timeout=_timeout(request),
            inputs=tuple(request.inputs.paths) if request.HasField("inputs") else None,
            previews=Previews(request.previews) if request.previews else None,
            quota=_quota(request),
            include=tuple(map(Extra, request.include)),
            callback_url=request.callback_url,
        )
    except ValueError as error:
        raise _invalid("request", str(error)) from error


def _quota(request: router_pb2.SubmitTaskRequest) -> Quota:
    return Quota(
        open_tasks=request.quota.open_tasks or None,
        daily_images=request.quota.daily_images or None,
        monthly_budget=Decimal(request.quota.monthly_budget or 0) or None,
    )


def _timeout(request: router_pb2.SubmitTaskRequest) -> timedelta | None:
    if not request.HasField("timeout"):
        return None
    timeout = request.timeout.ToTimedelta()
    if not SHORTEST <= timeout <= LONGEST:
        raise ValueError("timeout must be 1 to 86400 seconds")
    return timeout


def _to_claim(request: router_pb2.SubmitTaskRequest) -> Claim | None:
    if not request.idempotency_key:
        return None
    return Claim(
        tenant=request.tenant,
        key=request.idempotency_key,
        fingerprint=request.fingerprint,
        uid=ids.Uid(request.uid),
    )


def _invalid(field: str, message: str) -> RejectedError:
    return RejectedError(
        f"Incorrect payload structure, {field}: {message}",
        code="invalid_request",
        errors=(FieldError(field, message),),
    )
