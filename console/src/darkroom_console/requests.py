"""What the form of the playground means as a request, and a request as a form."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from darkroom_client import InvalidRequest, Runtime, TaskRequest
from darkroom_console.render import HERE, pretty

SDWEBUI: Final = "sdwebui"
FORM_TYPES: Final = ("text-to-image", "image-to-image")
JSON_CHARACTERS: Final = 8 * 2**20  # a request may have 10 MiB
SAMPLERS: Final = ("Euler a", "Euler", "DPM++ 2M", "DPM++ SDE", "DDIM", "UniPC", "LCM")
# Fields of the form that are fields of SD WebUI's body by the same name.
_FIELDS: Final = (
    "prompt",
    "negative_prompt",
    "steps",
    "cfg_scale",
    "width",
    "height",
    "seed",
    "batch_size",
    "sampler_name",
    "denoising_strength",
)

Side = Annotated[int, Field(ge=64, le=4096)]


class Form(BaseModel):
    """The form; a field that is empty has its default."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    runtime: str = Field(default="", max_length=128)
    tasktype: str = Field(default=FORM_TYPES[0], max_length=128)
    act: Literal["submit", "show"] = "submit"
    prompt: str = Field(default="", max_length=20_000)
    negative_prompt: str = Field(default="", max_length=20_000)
    steps: int = Field(default=16, ge=1, le=150)
    cfg_scale: float = Field(default=7, ge=0, le=30)
    width: Side = 512
    height: Side = 512
    seed: int = Field(default=-1, ge=-1, lt=2**63)
    batch_size: int = Field(default=1, ge=1, le=16)
    sampler_name: str = Field(default="", max_length=128)
    denoising_strength: float = Field(default=0.7, ge=0, le=1)
    model: str = Field(default="", max_length=1024)
    body: str = Field(
        default="",
        max_length=JSON_CHARACTERS,
        description="JSON: a workflow, or what the form has no field for.",
    )


def read_form(fields: Mapping[str, Any]) -> Form:
    """The form that was sent; raises `InvalidRequest` with the field."""
    given = {name: value for name, value in fields.items() if isinstance(value, str) and value}
    try:
        return Form.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{name}: {first['msg']}") from None


def request_of(form: Form, runtime: Runtime, image: bytes) -> TaskRequest:
    """The request that a form means; raises `InvalidRequest` when its JSON is none."""
    content = _json(form.body)
    if runtime.type != SDWEBUI:
        if not content:
            raise InvalidRequest("body: a workflow is needed, in its API form")
        return TaskRequest(runtime=form.runtime, tasktype="pipeline", content=content)
    picture = base64.b64encode(image).decode()
    tasktype = form.tasktype
    if tasktype in FORM_TYPES:
        content |= form.model_dump(include=set(_FIELDS) - _idle(form, content, image))
        if picture:
            content["init_images"] = [picture]
        tasktype = FORM_TYPES["init_images" in content]
    elif picture:
        content["image"] = picture
    if form.model and runtime.dynamic_model:
        settings = content.get("override_settings") or {}
        content["override_settings"] = {**settings, "sd_model_checkpoint": form.model}
    return TaskRequest(runtime=form.runtime, tasktype=tasktype, content=content)


def _idle(form: Form, content: Mapping[str, Any], image: bytes) -> set[str]:
    """Fields that say nothing in this request."""
    idle = {name for name in ("negative_prompt", "sampler_name") if not getattr(form, name)}
    if not image and "init_images" not in content:
        idle.add("denoising_strength")
    return idle


def _json(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"body: is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("body: must be an object of JSON")
    return value


def form_of(request: Mapping[str, Any]) -> Form:
    """The form that means a request as a stack keeps it; what it has no field for is JSON."""
    task = request.get("task")
    task = task if isinstance(task, dict) else {}
    metadata, content = task.get("metadata"), task.get("content")
    metadata = metadata if isinstance(metadata, dict) else {}
    rest = dict(content) if isinstance(content, dict) else {}
    known = {"runtime": metadata.get("runtime"), "tasktype": metadata.get("tasktype")}
    if known["tasktype"] in FORM_TYPES:
        known |= {name: rest.pop(name) for name in _FIELDS if name in rest}
    fields = {name: str(value) for name, value in known.items() if value is not None}
    try:
        return read_form({**fields, "body": pretty(rest) if rest else ""})
    except InvalidRequest:  # values that the form cannot have: all of it as JSON
        return Form(runtime=fields.get("runtime", ""), body=pretty(content)[:JSON_CHARACTERS])


def example_workflow(runtime: Runtime) -> str:
    """A workflow to begin with, if there is one for this type of runtime."""
    path = HERE / "workflows" / f"{runtime.type}.json"
    if not path.exists():
        return ""
    graph = json.loads(path.read_text())
    if runtime.model_filename:
        graph["4"]["inputs"]["ckpt_name"] = runtime.model_filename
    return pretty(graph)
