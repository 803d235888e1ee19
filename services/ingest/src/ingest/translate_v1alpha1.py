"""The older form of a request: SD WebUI's body with the routing in `alwayson_scripts`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.ids import DEFAULT_PREFIX, PrefixField, TaskIdField, Uid
from contracts.kinds import TaskType
from contracts.scripts import Scripts, without_routing
from ingest.domain import Submission
from ingest.payload import checked, compact_content, invalid, parse_object, required_name

FIELDS: Final = {
    "id": "alwayson_scripts.id_task",
    "tasktype": "alwayson_scripts.task",
    "prefix": "alwayson_scripts.save_dir",
    "checkpoint": "alwayson_scripts.sd_model_checkpoint",
}
"""What this form calls the fields of a submission."""


class LegacyScripts(Scripts):
    """Where the task goes; other keys are scripts of SD WebUI and stay."""

    task: TaskType = Field(description="What to do, for example `text-to-image`.")
    sd_model_checkpoint: Annotated[str, AfterValidator(required_name)] = Field(
        description="Selects the runtime: the one that serves this checkpoint."
    )
    id_task: TaskIdField = Field(
        description="1 to 128 of `A-Z a-z 0-9 . _ -`, not starting with `.`."
    )
    save_dir: PrefixField = Field(
        default=DEFAULT_PREFIX, description="Folder in the output bucket, up to 512 bytes."
    )
    uid: Any = Field(default=None, description="Accepted, and ignored.")


class V1Alpha1Request(BaseModel):
    """SD WebUI's own body; the keys that are not listed go to SD WebUI unchanged."""

    model_config = ConfigDict(extra="allow")

    alwayson_scripts: LegacyScripts
    override_settings: dict[str, Any] | None = None


def translate(body: bytes, uid: Uid) -> Submission:
    """The submission; raises `RejectedError` that names every wrong field."""
    content = parse_object(body)
    request, errors = checked(V1Alpha1Request, content)
    if request is None:
        raise invalid(errors)
    scripts = request.alwayson_scripts
    inner = without_routing(content, scripts, scripts.task)
    return Submission(
        uid=uid,
        id=scripts.id_task,
        runtime="",
        tasktype=scripts.task,
        prefix=scripts.save_dir,
        context_json="{}",
        content=compact_content(inner, "body"),
        checkpoint=scripts.sd_model_checkpoint,
    )
