"""The `.out` document: the runtime's full answer without the image bytes (api.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from pydantic_core import from_json

from contracts.ids import TaskId
from contracts.kinds import TaskType
from queue_agent.domain import Generated, Job, TaskFailedError

_EXTRAS = (TaskType.EXTRA_SINGLE_IMAGE, TaskType.EXTRA_BATCH_IMAGES)
_FILE_REF = {"filename": "", "subfolder": "", "type": "output"}  # of ComfyUI, with defaults
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


def with_urls(
    document: Mapping[str, Any], urls: Mapping[tuple[str, ...], str]
) -> dict[str, Any]:
    """A document whose `outputs` say for each node where its files are.

    `urls` is by what a file's node calls it. What the runtime said stays: a node that is an
    object has `image_url` besides, and so has each result of a node that has many.
    """
    outputs = document.get("outputs")
    if not isinstance(outputs, Mapping):
        return dict(document)
    told = {node: _with_url(shown, urls) for node, shown in outputs.items()}
    return {**document, "outputs": told}


def _with_url(shown: object, urls: Mapping[tuple[str, ...], str]) -> object:
    if isinstance(shown, list):
        return [_with_url(one, urls) for one in shown]
    named = [urls[ref] for ref in dict.fromkeys(_refs(shown)) if ref in urls]
    return {**shown, "image_url": named} if named and isinstance(shown, Mapping) else shown


def _refs(shown: object) -> Iterator[tuple[str, ...]]:
    """What names a file in a node's output, as ComfyUI and InvokeAI do."""
    if isinstance(shown, list):
        for one in shown:
            yield from _refs(one)
    elif isinstance(shown, Mapping):
        if isinstance(shown.get("filename"), str):
            yield tuple(str(shown.get(name) or usual) for name, usual in _FILE_REF.items())
        elif isinstance(shown.get("image_name"), str):
            yield (shown["image_name"],)
        for inner in shown.values():
            yield from _refs(inner)


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
