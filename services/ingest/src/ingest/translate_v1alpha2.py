"""The present form of a request: metadata beside the runtime's own body.

gRPC has the same fields without the outer objects, so both edges share the rules here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, Strict

from contracts.fields import find_texts
from contracts.ids import DEFAULT_PREFIX, PrefixField, TaskIdField, Uid, name
from contracts.kinds import Extra, Previews, TaskType
from contracts.scripts import WebuiBody, without_routing
from ingest.domain import Submission
from ingest.payload import (
    checked,
    compact_content,
    compact_context,
    invalid,
    parse_object,
    required_name,
    wrong,
)
from ingest.pipelines import hint, pipeline
from servicekit.errors import FieldError

FIELDS: Final = {
    **{
        name: f"task.metadata.{name}"
        for name in ("id", "runtime", "tasktype", "prefix", "callback_url")
    },
    "context_json": "task.metadata.context",
    "content_json": "task.content",
}
"""What this form calls the fields of a submission."""

LARGEST_LIST: Final = 64  # of inputs
LONGEST_PLACE: Final = 512  # characters
LONGEST_URL: Final = 2048  # characters
_Place = Annotated[str, Field(min_length=1, max_length=LONGEST_PLACE)]
_Places = Annotated[tuple[_Place, ...], Field(max_length=LARGEST_LIST)]
_Timeout = Annotated[float, Strict(), Field(ge=1, le=86400)]


class Metadata(BaseModel):
    """What Darkroom must know of a task."""

    id: TaskIdField = Field(
        description="1 to 128 of `A-Z a-z 0-9 . _ -`, not starting with `.`."
    )
    runtime: Annotated[str, AfterValidator(required_name)] = Field(
        description="Name of a configured runtime, compared in lower case."
    )
    tasktype: TaskType = Field(
        description="What to do; `extra-batch-image` is an alias of `extra-batch-images`."
    )
    prefix: PrefixField = Field(
        default=DEFAULT_PREFIX, description="Folder in the output bucket, up to 512 bytes."
    )
    context: Annotated[Any, AfterValidator(compact_context)] = Field(
        default_factory=lambda: "{}",
        description="Any JSON value up to 16 KiB, which comes back in the callback.",
    )
    timeout_seconds: _Timeout | None = Field(
        default=None,
        description="How long one attempt may take; without it, as long as the agent allows.",
    )
    inputs: Literal["none"] | _Places | None = Field(
        default=None,
        description=(
            "The values of the content that are files, such as `init_images[0]` or"
            " `4.inputs.image`, or `none`; without it the fields say what is one."
        ),
    )
    previews: Previews | None = Field(
        default=None,
        description="ComfyUI: `keep` makes results of previews; without it they are none.",
    )
    include: Annotated[tuple[Extra, ...], Field(max_length=len(Extra))] = Field(
        default=(), description="What the callback has besides: `cost`."
    )
    callback_url: Annotated[str, Field(min_length=1, max_length=LONGEST_URL)] | None = Field(
        default=None,
        description=(
            "Where the end of this task is told, too: on the scheme, host and port of a webhook"
            " of the tenant, with whose secret it is signed."
        ),
    )


class _Task(BaseModel):
    metadata: Metadata
    content: dict[str, Any] = Field(description="The runtime's own request body.")


@dataclass(frozen=True, slots=True)
class _Form:
    """What an edge calls the fields that refusals name."""

    content: str
    inputs: str


_NESTED: Final = _Form("task.content", "task.metadata.inputs")
_FLAT: Final = _Form("content", "inputs")


class V1Alpha2Request(BaseModel):
    """One task with its metadata."""

    task: _Task


class _FlatTask(Metadata):
    content: dict[str, Any]
    timeout_seconds: _Timeout | None = Field(default=None, alias="timeout")


def translate(body: bytes, uid: Uid) -> Submission:
    """The submission; raises `RejectedError` that names every wrong field."""
    value = parse_object(body)
    if "task" not in value and (told := hint(value)):
        raise invalid([FieldError("task", f"task is missing: {told}")])
    request, errors = checked(V1Alpha2Request, value)
    task = value.get("task")
    outer = task if isinstance(task, dict) else {}
    metadata, content = outer.get("metadata"), outer.get("content")
    tasktype = metadata.get("tasktype") if isinstance(metadata, dict) else None
    webui, more = _webui(content, tasktype, "task", "content")
    if request is None or more:
        raise invalid([*errors, *more])
    return _submission(request.task.metadata, request.task.content, webui, uid, _NESTED)


def translate_flat(
    fields: dict[str, Any], uid: Uid, known: tuple[FieldError, ...] = ()
) -> Submission:
    """Do the same for `id`, `runtime`, ... and `content` in one object, as gRPC has them.

    There `timeout`, in seconds, is what `timeout_seconds` is here.

    `known` are errors that were found before.
    """
    request, errors = checked(_FlatTask, fields)
    webui, more = _webui(fields.get("content"), fields.get("tasktype"), "content")
    if request is None or more or known:
        raise invalid([*errors, *more, *known])
    return _submission(request, request.content, webui, uid, _FLAT)


def _webui(
    content: object, tasktype: object, *at: str
) -> tuple[WebuiBody | None, list[FieldError]]:
    # Only SD WebUI takes the other types; what a pipeline holds is its runtime's affair.
    if not isinstance(content, dict) or tasktype == TaskType.PIPELINE:
        return None, []
    return checked(WebuiBody, content, *at)


def _submission(
    metadata: Metadata,
    content: dict[str, Any],
    webui: WebuiBody | None,
    uid: Uid,
    form: _Form,
) -> Submission:
    checkpoint = ""
    if metadata.tasktype is TaskType.PIPELINE:
        content = pipeline(content, form.content)
    if webui is not None:
        if webui.alwayson_scripts is not None:
            content = without_routing(content, webui.alwayson_scripts, metadata.tasktype)
            checkpoint = webui.alwayson_scripts.sd_model_checkpoint or ""
        checkpoint = checkpoint or _own_checkpoint(content, form.content)
    seconds = metadata.timeout_seconds
    return Submission(
        uid=uid,
        id=metadata.id,
        runtime=metadata.runtime.lower(),
        tasktype=metadata.tasktype,
        prefix=metadata.prefix,
        context_json=metadata.context,
        content=compact_content(content, form.content),
        checkpoint=checkpoint,
        timeout=None if seconds is None else timedelta(seconds=seconds),
        inputs=_inputs(metadata, content, form),
        previews=metadata.previews,
        include=metadata.include,
        callback_url=metadata.callback_url or "",
    )


def _inputs(metadata: Metadata, content: dict[str, Any], form: _Form) -> tuple[str, ...] | None:
    chosen = () if metadata.inputs == "none" else metadata.inputs
    try:
        find_texts(content, chosen or ())
    except ValueError as error:
        raise invalid([wrong(form.inputs, str(error))]) from None
    return chosen


def _own_checkpoint(content: dict[str, Any], field: str) -> str:
    asked = (content.get("override_settings") or {}).get("sd_model_checkpoint")
    if not isinstance(asked, str):
        return ""
    checkpoint, errors = checked(
        _Override, {"sd_model_checkpoint": asked}, field, "override_settings"
    )
    if checkpoint is None:
        raise invalid(errors)
    return checkpoint.sd_model_checkpoint


class _Override(BaseModel):
    sd_model_checkpoint: Annotated[str, AfterValidator(name)]
