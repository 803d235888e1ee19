"""The answers of the REST API, field for field and in their order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic_core import from_json
from starlette.responses import Response

from ingest.domain import Accepted, Model, Progress, Runtime, Submission, Task, TaskState
from ingest.look_up import TaskList


def _rfc3339(time: datetime) -> str:
    text = time.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str)]


class View(BaseModel):
    """An answer; what was not set is not in it."""

    model_config = ConfigDict(protected_namespaces=())

    def text(self) -> str:
        """Give it as JSON in one line."""
        return self.model_dump_json(exclude_unset=True)

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Give it as a response with status 200."""
        return Response(self.text(), headers=headers, media_type="application/json")


class FailureView(View):
    """Why a task failed."""

    code: str = Field(description="Stable, for programs.")
    message: str
    retryable: bool


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
    error: FailureView | None
    progress: ProgressView | None
    links: list[str] | None = Field(
        default=None, description="Download links for the images, then for the `.out`."
    )

    @classmethod
    def of(cls, task: Task) -> TaskView:
        """Give the view of one task."""
        error, progress = task.error, task.progress
        return cls(
            uid=task.uid,
            id=task.id,
            runtime=task.runtime,
            tasktype=task.tasktype,
            state=task.state,
            attempt=task.attempt,
            context=from_json(task.context_json),
            created_at=task.created_at,
            started_at=task.started_at,
            finished_at=task.finished_at,
            output_location=task.output_location,
            image_url=list(task.image_url),
            output_url=task.output_url,
            error=error
            and FailureView(code=error.code, message=error.message, retryable=error.retryable),
            progress=progress
            and ProgressView(
                step=progress.step, total=progress.total, percent=progress.percent
            ),
        )


class ProgressEvent(View):
    """How far an attempt of a task is."""

    uid: str
    attempt: int
    step: int
    total: int
    percent: float = Field(description="0 to 100.")

    @classmethod
    def of(cls, task: Task, progress: Progress) -> ProgressEvent:
        """Give the view of one report."""
        return cls(
            uid=task.uid,
            attempt=task.attempt,
            step=progress.step,
            total=progress.total,
            percent=progress.percent,
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
        """Give the answer to an accepted submission."""
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
        """Give the answer to an accepted submission."""
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
        """Give the view of one page."""
        return cls(tasks=[TaskView.of(task) for task in found.tasks], cursor=found.cursor)


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
    def of(cls, runtimes: tuple[Runtime, ...]) -> RuntimesView:
        """Give the view of all runtimes."""
        return cls(
            runtimes=[
                RuntimeView(
                    name=runtime.name,
                    type=runtime.type,
                    model_filename=runtime.model_filename,
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
    def of(cls, models: tuple[Model, ...]) -> ModelsView:
        """Give the view of all models."""
        return cls(
            models=[
                ModelView(
                    name=model.name,
                    kind=model.kind,
                    bytes=model.size_bytes,
                    format=model.format,
                    valid=model.valid,
                    problem=model.problem,
                )
                for model in models
            ]
        )
