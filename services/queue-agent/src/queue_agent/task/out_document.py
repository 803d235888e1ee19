"""The `.out` document: the runtime's full answer without the image bytes (api.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic_core import from_json

from contracts.ids import TaskId
from contracts.kinds import TaskType
from queue_agent.domain import Generated, Job, TaskFailedError

_EXTRAS = (TaskType.EXTRA_SINGLE_IMAGE, TaskType.EXTRA_BATCH_IMAGES)
_IMAGE_PARAMETERS = ("init_images", "mask", "image", "imageList")


class OutFormat(Protocol):
    """How the answers of one type of runtime are written down."""

    def completed(self, task_id: TaskId, job: Job, generated: Generated) -> dict[str, Any]:
        """The document of a complete run."""
        ...

    def failed(self, task_id: TaskId, error: TaskFailedError) -> dict[str, Any]:
        """The document of a failure."""
        ...


class SdWebuiOut:
    """The original solution's form for SD WebUI."""

    def completed(self, task_id: TaskId, job: Job, generated: Generated) -> dict[str, Any]:
        """The document of a complete run."""
        answer = generated.answer
        if job.tasktype in _EXTRAS:
            parameters = {"html_info": answer.get("html_info", "")}
            info: object = ""
        else:
            info = answer.get("info", "")
            seeds = read_info(answer).get("all_seeds")
            parameters = {
                **_without_images(answer.get("parameters")),
                "image_seed": ",".join(map(str, seeds if isinstance(seeds, list) else ())),
            }
        parameters |= {"id_task": task_id, "error_msg": ""}
        return {"images": [""], "parameters": parameters, "info": info}

    def failed(self, task_id: TaskId, error: TaskFailedError) -> dict[str, Any]:
        """The document of a failure; `reason` is the runtime's own body, or null."""
        parameters = {
            "id_task": task_id,
            "status": 0,
            "error_msg": error.failure.message,
            "reason": error.answer,
        }
        return {"images": [""], "parameters": parameters, "info": ""}


class ComfyUiOut:
    """The form for ComfyUI."""

    def completed(self, task_id: TaskId, job: Job, generated: Generated) -> dict[str, Any]:
        """The document of a complete run."""
        return {"code": 200, **generated.answer}

    def failed(self, task_id: TaskId, error: TaskFailedError) -> dict[str, Any]:
        """The document of a failure; `reason` is the runtime's own body, or null."""
        return {"code": 500, "error": {**error.failure.model_dump(), "reason": error.answer}}


def read_info(answer: Mapping[str, Any]) -> dict[str, Any]:
    """SD WebUI's `info`, which is JSON in a string; empty if it is something else."""
    try:
        info = from_json(answer.get("info") or "{}")
    except (TypeError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _without_images(parameters: object) -> dict[str, Any]:
    if not isinstance(parameters, Mapping):
        return {}
    return {key: value for key, value in parameters.items() if key not in _IMAGE_PARAMETERS}
