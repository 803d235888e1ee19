"""The gRPC API: the rules of REST in the types of darkroom.tasks.v1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from pydantic_core import from_json

from contracts.cost import Cost, amount
from contracts.ids import new_uid
from contracts.keys import KeyScope
from contracts.message import CONTENT_LIMIT_BYTES
from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskRecord
from darkroom.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from ingest.bodies import Bodies
from ingest.domain import Caller, Idempotency, cost_of, percent
from ingest.keys import Gate
from ingest.look_up import Filters, cancel_task, find_task, list_tasks
from ingest.metrics import Metrics
from ingest.payload import checked, invalid, parse_object, too_large, wrong
from ingest.ports import Router
from ingest.submit import idempotency_of, submit
from ingest.translate_v1alpha2 import translate_flat
from ingest.watch import Watches
from servicekit.errors import FieldError, RejectedError, TransientError
from servicekit.status import REFUSALS

SERVICE = tasks_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name

_OPERATIONS = {
    f"/{SERVICE}/SubmitTask": "submit_task",
    f"/{SERVICE}/GetTask": "get_task",
    f"/{SERVICE}/ListTasks": "list_tasks",
    f"/{SERVICE}/CancelTask": "cancel_task",
    f"/{SERVICE}/WatchTask": "watch_task",
}
_STATES = {
    TaskState.QUEUED: tasks_pb2.TASK_STATE_QUEUED,
    TaskState.RUNNING: tasks_pb2.TASK_STATE_RUNNING,
    TaskState.COMPLETED: tasks_pb2.TASK_STATE_COMPLETED,
    TaskState.FAILED: tasks_pb2.TASK_STATE_FAILED,
    TaskState.CANCELLED: tasks_pb2.TASK_STATE_CANCELLED,
}
_STATE_NAMES = {number: str(state) for state, number in _STATES.items()}
_DEEPEST = 25  # a level of JSON is up to three messages deep, and protobuf reads 100
_WHOLE_BELOW = 2.0**53  # from here on a double does not hold each whole number


class TaskRpc(tasks_pb2_grpc.TaskServiceServicer):
    """Answers clients; what it raises becomes a status in `servicekit.rpc`."""

    def __init__(
        self, router: Router, watches: Watches, gate: Gate, metrics: Metrics, bodies: Bodies
    ) -> None:
        self._router = router
        self._watches = watches
        self._gate = gate
        self._metrics = metrics
        self._bodies = bodies

    @asynccontextmanager
    async def reading(
        self, context: grpc.aio.ServicerContext[Any, Any], method: str
    ) -> AsyncIterator[None]:
        """Read a request in the block, of a known caller and while there is room."""
        try:
            self._gate.caller(_keys(context))
            async with self._bodies.reading():
                yield
        except (RejectedError, TransientError) as error:
            with self._metrics.measured(_OPERATIONS.get(method, "unknown"), "grpc") as call:
                call.status = REFUSALS[_code(error)].grpc.name
            self._metrics.refused(_code(error), "grpc")
            raise

    async def SubmitTask(  # noqa: N802  # the name in the proto
        self,
        request: tasks_pb2.SubmitTaskRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> tasks_pb2.SubmitTaskResponse:
        """Accept one task."""
        async with self._admitted("submit_task", context, KeyScope.SUBMIT) as caller:
            with self._bodies.room() as take:
                take(_size(request))
                idempotency = _idempotency(request)
                fields, errors = _fields(request)
                submission = translate_flat(fields, new_uid(), errors)
                accepted = await submit(
                    self._router, submission, caller, idempotency=idempotency
                )
            return tasks_pb2.SubmitTaskResponse(
                id=submission.id,
                runtime=accepted.runtime,
                output_location=accepted.output_location,
                uid=accepted.uid,
            )

    async def GetTask(  # noqa: N802  # the name in the proto
        self, request: tasks_pb2.GetTaskRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> tasks_pb2.GetTaskResponse:
        """One task."""
        async with self._admitted("get_task", context) as caller:
            task = await find_task(self._router, _named(request.id), caller)
            return tasks_pb2.GetTaskResponse(task=_task(task))

    async def ListTasks(  # noqa: N802  # the name in the proto
        self, request: tasks_pb2.ListTasksRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> tasks_pb2.ListTasksResponse:
        """One page of tasks."""
        async with self._admitted("list_tasks", context) as caller:
            found = await list_tasks(self._router, _filters(request), caller)
            return tasks_pb2.ListTasksResponse(
                tasks=[_task(task) for task in found.tasks], cursor=found.cursor or ""
            )

    async def CancelTask(  # noqa: N802  # the name in the proto
        self, request: tasks_pb2.CancelTaskRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> tasks_pb2.CancelTaskResponse:
        """Take one task back."""
        async with self._admitted("cancel_task", context, KeyScope.SUBMIT) as caller:
            task = await cancel_task(self._router, _named(request.id), caller)
            return tasks_pb2.CancelTaskResponse(task=_task(task))

    async def WatchTask(  # noqa: N802  # the name in the proto
        self, request: tasks_pb2.WatchTaskRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[tasks_pb2.WatchTaskResponse]:
        """Stream one task until it has ended."""
        async with self._admitted("watch_task", context) as caller:
            task = await find_task(self._router, _named(request.id), caller)
            after = max(request.after_sequence, 0)
            if request.after_uid not in {"", task.uid}:
                after = 0
            async with aclosing(self._watches.follow(task.uid, after)) as changes:
                async for change in changes:
                    yield tasks_pb2.WatchTaskResponse(
                        sequence=change.sequence, task=_task(change.task)
                    )

    @asynccontextmanager
    async def _admitted(
        self,
        operation: str,
        context: grpc.aio.ServicerContext[Any, Any],
        needs: KeyScope = KeyScope.READ,
    ) -> AsyncIterator[Caller]:
        with self._metrics.measured(operation, "grpc") as call:
            code, status = "internal", grpc.StatusCode.OK
            try:
                yield await self._gate.admit(_keys(context), needs)
            except (RejectedError, TransientError) as error:
                code = _code(error)
                raise
            except (asyncio.CancelledError, GeneratorExit):  # the client has gone
                code, status = "", grpc.StatusCode.CANCELLED
                raise
            else:
                code = ""
            finally:
                call.status = (REFUSALS[code].grpc if code else status).name
                if code:
                    self._metrics.refused(code, "grpc")


def _code(error: RejectedError | TransientError) -> str:
    return error.code if isinstance(error, RejectedError) else "unavailable"


def _keys(context: grpc.aio.ServicerContext[Any, Any]) -> list[bytes]:
    metadata = context.invocation_metadata() or ()
    return [v.encode() for k, v in metadata if k == "x-api-key" and isinstance(v, str)]


def _size(request: tasks_pb2.SubmitTaskRequest) -> int:
    size = request.ByteSize()
    if size > CONTENT_LIMIT_BYTES:
        raise too_large()
    return size


def _named(id: str) -> str:
    if not id:
        raise invalid([wrong("id", "is missing")])
    return id


def _filters(request: tasks_pb2.ListTasksRequest) -> Filters:
    fields = {
        "runtime": request.runtime,
        # A number without a name is told like a wrong name.
        "state": _STATE_NAMES.get(request.state, str(request.state or "")),
        "limit": str(request.limit or ""),
        "cursor": request.cursor,
    }
    filters, errors = checked(Filters, fields)
    if filters is None:
        raise invalid(errors)
    return filters


def _idempotency(request: tasks_pb2.SubmitTaskRequest) -> Idempotency | None:
    if not request.idempotency_key:
        return None
    sent = tasks_pb2.SubmitTaskRequest()
    sent.CopyFrom(request)
    sent.ClearField("idempotency_key")
    text = sent.SerializeToString(deterministic=True)
    return idempotency_of(request.idempotency_key, "idempotency_key", b"grpc", text)


def _fields(
    request: tasks_pb2.SubmitTaskRequest,
) -> tuple[dict[str, Any], tuple[FieldError, ...]]:
    """The object that REST clients send, where unset text is a missing field."""
    errors: tuple[FieldError, ...] = ()
    names = ("id", "runtime", "tasktype", "prefix", "previews", "callback_url")
    fields: dict[str, Any] = {n: getattr(request, n) for n in names if getattr(request, n)}
    if request.HasField("context"):
        fields["context"] = _plain(request.context)
    if request.HasField("timeout"):
        fields["timeout"] = request.timeout.seconds + request.timeout.nanos / 1e9
    if request.HasField("inputs"):
        fields["inputs"] = list(request.inputs.paths)
    if request.include:
        fields["include"] = list(request.include)
    if request.content_json:
        try:
            fields["content"] = parse_object(request.content_json, "content_json")
        except RejectedError as error:
            fields["content"], errors = {}, error.errors
    elif request.HasField("content"):
        fields["content"] = _plain_struct(request.content)
    return fields, errors


def _plain(value: Value) -> Any:
    """A value as JSON has it; protobuf limits its depth to less than JSON's 200."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        whole = number.is_integer() and abs(number) < _WHOLE_BELOW
        return int(number) if whole else number
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return _plain_list(value.list_value)
    return value.string_value if kind == "string_value" else value.bool_value or _none(kind)


def _plain_struct(struct: Struct) -> dict[str, Any]:
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain_list(values: ListValue) -> list[Any]:
    return [_plain(value) for value in values.values]


def _none(kind: str | None) -> bool | None:
    return False if kind == "bool_value" else None


def _task(task: TaskRecord) -> tasks_pb2.Task:
    message = tasks_pb2.Task(
        uid=task.uid,
        id=task.id,
        runtime=task.runtime,
        tasktype=task.tasktype,
        state=_STATES[TaskState(task.state)],
        attempt=task.attempt,
        context=_context(task.context_json),
        created_at=task.created_at,
        started_at=task.started_at if task.HasField("started_at") else None,
        finished_at=task.finished_at if task.HasField("finished_at") else None,
        output_location=task.output_location,
        image_url=task.image_url,
        output_url=task.output_url,
        warnings=task.warnings,
        tenant=task.tenant,
        key=task.key,
    )
    if task.HasField("error"):
        message.error.code = task.error.code
        message.error.message = task.error.message
        message.error.retryable = task.error.retryable
    if task.HasField("progress"):
        message.progress.step = task.progress.step
        message.progress.total = task.progress.total
        message.progress.percent = percent(task.progress)
    if cost := cost_of(task):
        message.cost.CopyFrom(_cost(cost))
    return message


def _cost(cost: Cost) -> tasks_pb2.TaskCost:
    return tasks_pb2.TaskCost(
        gpu_seconds=cost.gpu_ms / 1000,
        currency=cost.currency,
        amount="" if cost.micros is None else amount(cost.micros),
        node_type=cost.node_type,
        capacity=cost.capacity,
    )


def _context(text: str) -> Value:
    """The context as a value; as JSON text in the rare case that protobuf cannot."""
    plain = from_json(text)
    holder = ListValue()
    try:
        holder.append(text if _depth(plain) > _DEEPEST else plain)
    except OverflowError:  # a whole number beyond the range of a double
        holder = ListValue()
        holder.append(text)
    return holder.values[0]


def _depth(plain: Any) -> int:
    if isinstance(plain, dict):
        plain = list(plain.values())
    return 1 + max(map(_depth, plain), default=0) if isinstance(plain, list) else 0
