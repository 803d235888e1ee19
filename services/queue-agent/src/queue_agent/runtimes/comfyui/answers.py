"""Reading what ComfyUI says: refusals, the end of a prompt, and what it made. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from queue_agent.domain import RunInterruptedError, TaskFailedError
from queue_agent.runtimes.http import Answer

_RESULT: Final = "output"  # `temp` is a preview, `input` an input shown again


@dataclass(frozen=True, slots=True, order=True)
class FileRef:
    """One file at the server; old files are named again when the cache answers."""

    filename: str
    subfolder: str
    type: str

    def as_query(self) -> dict[str, str]:
        """The parameters of `GET /view`."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}


def refusal(answer: Answer) -> TaskFailedError:
    """The failure that a refused prompt is, with every node's complaint."""
    body = answer.body if isinstance(answer.body, Mapping) else {}
    error = body.get("error")
    general = error.get("message", "") if isinstance(error, Mapping) else str(error or "")
    details = list(_complaints(body.get("node_errors")))
    if not details and isinstance(error, Mapping) and error.get("details"):
        details = [str(error["details"])]
    message = "; ".join(part for part in (general, *details) if part)
    return answer.failure(message or f"the runtime answered {answer.status}")


def partial_refusal(answer: Answer) -> TaskFailedError:
    """The failure that a prompt is of which only a part would run."""
    message = "; ".join(_complaints(answer.body.get("node_errors")))
    return TaskFailedError(
        f"only a part of the graph can run: {message}",
        code="runtime_rejected",
        answer=answer.body,
    )


def check_ending(entry: Mapping[str, Any]) -> None:
    """Return if a history entry says that all went well.

    Raises `TaskFailedError` for a failure and `RunInterruptedError` for an interrupt that was
    not ours: in the history both have the status `error`.
    """
    status = entry.get("status") or {}
    if status.get("status_str") == "success" and status.get("completed"):
        return
    events = {event: content for event, content in status.get("messages", [])}
    if "execution_error" in events:
        raise _execution_error(events["execution_error"])
    if "execution_interrupted" in events:
        raise RunInterruptedError("somebody else interrupted the runtime")
    raise TaskFailedError("the runtime gave no reason", code="runtime_error", answer=status)


def results(outputs: Mapping[str, Any]) -> list[FileRef]:
    """Every file that is a result, of whatever kind its node calls it, once each."""
    found: dict[FileRef, None] = {}
    for item in _items(outputs):
        if isinstance(item, Mapping) and "filename" in item:
            ref = FileRef(
                str(item["filename"]),
                str(item.get("subfolder") or ""),
                str(item.get("type") or _RESULT),
            )
            if ref.type == _RESULT:
                found[ref] = None
    return list(found)


def from_cache(entry: Mapping[str, Any]) -> bool:
    """Whether a node whose output a history entry shows was not run for it."""
    events = {
        event: content for event, content in (entry.get("status") or {}).get("messages", [])
    }
    cached = events.get("execution_cached", {}).get("nodes", [])
    return not set(cached).isdisjoint(entry.get("outputs") or {})


def has_text(outputs: Mapping[str, Any]) -> bool:
    """Whether a node gave text."""
    return any(isinstance(item, str) for item in _items(outputs))


def _items(outputs: Mapping[str, Any]) -> Iterator[Any]:
    for node in outputs.values():
        for items in node.values() if isinstance(node, Mapping) else ():
            yield from items if isinstance(items, list) else ()


def _complaints(node_errors: object) -> Iterator[str]:
    for node_id, entry in node_errors.items() if isinstance(node_errors, Mapping) else ():
        for one in entry.get("errors", []):
            said = ": ".join(str(one[key]) for key in ("message", "details") if one.get(key))
            yield f"node {node_id} ({entry.get('class_type')}): {said}"


def _execution_error(content: Mapping[str, Any]) -> TaskFailedError:
    kind = str(content.get("exception_type", ""))
    said = str(content.get("exception_message", "")).strip()
    where = f"node {content.get('node_id')} ({content.get('node_type')})"
    kept = ("node_id", "node_type", "exception_type", "exception_message", "traceback")
    return TaskFailedError(
        f"{where}: {kind}: {said}",
        code="runtime_error",
        retryable="OutOfMemory" in kind,
        answer={key: content[key] for key in kept if key in content},
    )
