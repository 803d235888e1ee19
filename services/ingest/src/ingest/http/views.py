"""The answers of the REST API, field for field and in their order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic_core import from_json

from contracts.callback import Failure
from contracts.cost import CostView, amount
from contracts.state import TaskState
from darkroom.modelsync.v1.modelsync_pb2 import Model
from darkroom.router.v1.router_pb2 import Runtime
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Accepted, Submission, cost_of, percent
from ingest.look_up import TaskList
from ingest.usage import Asked, Group, GroupBy


def _rfc3339(time: datetime) -> str:
    text = time.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str)]


class View(BaseModel):
    """An answer; what was not set is not in it."""

    model_config = ConfigDict(protected_namespaces=())

    def text(self) -> str:
        """As JSON in one line."""
        return self.model_dump_json(exclude_unset=True)


class ProgressView(View):
    """How far a running task is."""

    step: int
    total: int
    percent: float = Field(description="0 to 100.")


class TaskView(View):
    """One submission and what became of it."""

    uid: str
    id: str
    runtime: str
    tasktype: str
    state: TaskState
    attempt: int
    context: Any
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    output_location: str
    image_url: list[str]
    output_url: str | None
    error: Failure | None
    progress: ProgressView | None
    warnings: list[str] = Field(
        default=[], description="What the runtime did otherwise than it was asked."
    )
    tenant: str = Field(description="Whose it is.")
    key: str = Field(default="", description="The name of the API key that it came with.")
    cost: CostView | None = Field(
        default=None, description="Absent as long as no attempt has told it."
    )
    links: list[str] | None = Field(
        default=None, description="Download links for the images, then for the `.out`."
    )

    @classmethod
    def of(cls, task: TaskRecord) -> TaskView:
        """The answer that tells of one task."""
        error, progress, cost = task.error, task.progress, cost_of(task)
        return cls(
            uid=task.uid,
            id=task.id,
            runtime=task.runtime,
            tasktype=task.tasktype,
            state=TaskState(task.state),
            attempt=task.attempt,
            context=from_json(task.context_json),
            created_at=_moment(task.created_at),
            started_at=_moment(task.started_at) if task.HasField("started_at") else None,
            finished_at=_moment(task.finished_at) if task.HasField("finished_at") else None,
            output_location=task.output_location,
            image_url=list(task.image_url),
            output_url=task.output_url or None,
            error=Failure(code=error.code, message=error.message, retryable=error.retryable)
            if task.HasField("error")
            else None,
            progress=ProgressView(
                step=progress.step, total=progress.total, percent=percent(progress)
            )
            if task.HasField("progress")
            else None,
            tenant=task.tenant,
            **({"warnings": list(task.warnings)} if task.warnings else {}),
            **({"key": task.key} if task.key else {}),
            **({"cost": CostView.of(cost)} if cost else {}),
        )


class RequestedTask(View):
    """What was asked for."""

    metadata: dict[str, Any] = Field(description="Without `callback_url`.")
    content: dict[str, Any] = Field(description="The body for the runtime.")


class RequestView(View):
    """The request of a task: a body of `POST /v1alpha2`."""

    task: RequestedTask


class ProgressEvent(View):
    """How far an attempt of a task is."""

    uid: str
    attempt: int
    step: int
    total: int
    percent: float = Field(description="0 to 100.")

    @classmethod
    def of(cls, task: TaskRecord) -> ProgressEvent:
        """The event that tells of a task's progress."""
        progress = task.progress
        return cls(
            uid=task.uid,
            attempt=task.attempt,
            step=progress.step,
            total=progress.total,
            percent=percent(progress),
        )


class V1Alpha2Answer(View):
    """The task was accepted, and is durably queued."""

    id_task: str
    id: str = Field(description="Repeats `id_task`.")
    runtime: str
    output_location: str = Field(description="`s3://bucket/prefix/id`")
    uid: str = Field(description="Names this submission: a ULID.")
    task: TaskView | None = Field(
        default=None, description="Present if it has ended while the client waited."
    )

    @classmethod
    def of(cls, submission: Submission, accepted: Accepted) -> V1Alpha2Answer:
        """The answer to an accepted submission."""
        return cls(
            id_task=submission.id,
            id=submission.id,
            runtime=accepted.runtime,
            output_location=accepted.output_location,
            uid=accepted.uid,
        )


class V1Alpha1Answer(View):
    """The task was accepted, and is durably queued."""

    id_task: str
    sd_model_checkpoint: str
    output_location: str = Field(description="`s3://bucket/prefix/id`")
    uid: str = Field(description="Names this submission: a ULID.")
    task: TaskView | None = Field(
        default=None, description="Present if it has ended while the client waited."
    )

    @classmethod
    def of(cls, submission: Submission, accepted: Accepted) -> V1Alpha1Answer:
        """The answer to an accepted submission."""
        return cls(
            id_task=submission.id,
            sd_model_checkpoint=submission.checkpoint,
            output_location=accepted.output_location,
            uid=accepted.uid,
        )


class TasksView(View):
    """Some tasks, newest first."""

    tasks: list[TaskView]
    cursor: str | None = Field(description="Asks for the next page; null after the last.")

    @classmethod
    def of(cls, found: TaskList) -> TasksView:
        """The view of one page."""
        return cls(tasks=[TaskView.of(task) for task in found.tasks], cursor=found.cursor)


class MoneyView(View):
    """An amount of money."""

    currency: str
    amount: str = Field(description="A decimal number, to the millionth.")


class UsageGroup(View):
    """What the tasks of one tenant, runtime or key have used."""

    name: str
    tasks: int
    completed: int
    failed: int
    cancelled: int
    images: int
    gpu_seconds: float
    cost: MoneyView | None = Field(description="Null if no task had a price.")


class UsageView(View):
    """What tasks that ended on these days (UTC) have used."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    group_by: GroupBy
    groups: list[UsageGroup]

    @classmethod
    def of(cls, asked: Asked, groups: Sequence[Group]) -> UsageView:
        """The view of all groups."""
        return cls(
            first=asked.days[0],
            last=asked.days[1],
            group_by=asked.group_by,
            groups=[
                UsageGroup(
                    name=group.name,
                    tasks=group.tasks,
                    completed=group.completed,
                    failed=group.failed,
                    cancelled=group.cancelled,
                    images=group.images,
                    gpu_seconds=group.gpu_ms / 1000,
                    cost=MoneyView(currency=group.currency, amount=amount(group.cost_micros))
                    if group.currency
                    else None,
                )
                for group in groups
            ],
        )


class RuntimeView(View):
    """One configured runtime."""

    name: str
    type: str = Field(description="`sdwebui`, `comfyui` or `invokeai`")
    model_filename: str | None
    dynamic_model: bool
    tasktypes: list[str]


class RuntimesView(View):
    """What tasks can be sent to."""

    runtimes: list[RuntimeView]

    @classmethod
    def of(cls, runtimes: Sequence[Runtime]) -> RuntimesView:
        """The view of all runtimes."""
        return cls(
            runtimes=[
                RuntimeView(
                    name=runtime.name,
                    type=runtime.type,
                    model_filename=runtime.model_filename or None,
                    dynamic_model=runtime.dynamic_model,
                    tasktypes=list(runtime.tasktypes),
                )
                for runtime in runtimes
            ]
        )


class ModelView(View):
    """One model file."""

    name: str
    kind: str = Field(description="`Stable-diffusion`, `Lora`, `VAE`, ...")
    bytes: int
    format: str
    valid: bool
    problem: str | None


class ModelsView(View):
    """What is in the model bucket."""

    models: list[ModelView]

    @classmethod
    def of(cls, models: Sequence[Model]) -> ModelsView:
        """The view of all models."""
        return cls(
            models=[
                ModelView(
                    name=model.name,
                    kind=model.kind,
                    bytes=model.size_bytes,
                    format=model.format,
                    valid=model.valid,
                    problem=model.problem or None,
                )
                for model in models
            ]
        )
