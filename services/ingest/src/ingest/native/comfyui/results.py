"""What became of a prompt, as ComfyUI's history has it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskRecord

_PREVIEW = "temp"


def history_entry(task: TaskRecord, document: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of an ended task by its `.out` document.

    Files have other names than at the server: the last part of their URL, in a folder that is
    the uid of the task.
    """
    outputs = _of(document, "outputs")
    return {
        "prompt": [number_of(task), task.id, {}, {}, list(outputs)],
        "outputs": {name: _named(task.uid, shown) for name, shown in outputs.items()},
        "status": {
            "status_str": "success" if task.state == TaskState.COMPLETED else "error",
            "completed": task.state == TaskState.COMPLETED,
            "messages": [list(message) for message in messages(task)],
        },
        "meta": {},
    }


def messages(task: TaskRecord) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the server tells of the beginning and the end of an ended task."""
    known: dict[str, Any] = {"prompt_id": task.id}
    if task.HasField("started_at"):
        yield "execution_start", {**known, "timestamp": _milliseconds(task.started_at)}
    known["timestamp"] = _milliseconds(task.finished_at)
    if task.state == TaskState.COMPLETED:
        yield "execution_success", known
    elif task.state == TaskState.CANCELLED:
        yield "execution_interrupted", {**known, **_NOWHERE}
    else:
        yield (
            "execution_error",
            {
                **known,
                **_NOWHERE,
                "exception_message": task.error.message,
                "exception_type": task.error.code,
                "traceback": [],
                "current_inputs": {},
                "current_outputs": [],
            },
        )


def number_of(task: TaskRecord) -> int:
    """A number that grows from task to task, as the server counts prompts."""
    return _milliseconds(task.created_at)


def file_index(task: TaskRecord, filename: str) -> int | None:
    """Which image of a task has the name that its history tells; None if none has."""
    names = [PurePosixPath(url).name for url in task.image_url]
    return names.index(filename) if filename in names else None


# At which node it was is not known.
_NOWHERE: Mapping[str, Any] = {"node_id": "", "node_type": "", "executed": []}


def _named(uid: str, shown: Any) -> Any:
    """The output of one node with names by which its files can be asked for here."""
    if not isinstance(shown, Mapping):
        return shown
    urls = shown.get("image_url")
    names = iter([PurePosixPath(url).name for url in urls] if isinstance(urls, list) else ())
    renamed: dict[tuple[str, ...], str] = {}

    def walked(value: Any) -> Any:
        if isinstance(value, list):
            return [walked(one) for one in value]
        if not isinstance(value, Mapping):
            return value
        if isinstance(value.get("filename"), str) and value.get("type") != _PREVIEW:
            key = tuple(str(value.get(part)) for part in ("filename", "subfolder", "type"))
            name = renamed.get(key) or next(names, "")
            renamed[key] = name
            return {**value, "filename": name, "subfolder": uid, "type": "output"}
        return {key: walked(one) for key, one in value.items()}

    return {key: walked(value) for key, value in shown.items() if key != "image_url"}


def _milliseconds(time: Any) -> int:
    return int(time.ToMilliseconds())


def _of(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = mapping.get(name)
    return found if isinstance(found, Mapping) else {}
