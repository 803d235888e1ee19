"""Reading what ComfyUI says: refusals, the end of a prompt, and what it made. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from queue_agent.domain import RunInterruptedError, TaskFailedError
from queue_agent.runtimes.comfyui.sent_images import senders
from queue_agent.runtimes.http import Answer
from queue_agent.runtimes.memory import CODE as OUT_OF_MEMORY
from queue_agent.runtimes.memory import is_out_of_memory
from queue_agent.runtimes.shape import items, mapping, text

_PAIR: Final = 2  # an event's name and content; a link's node and output
_ABOUT_FILES: Final = frozenset({"animated", "has_audio"})  # beside their names
_PREVIEW: Final = "temp"
_RESULT: Final = "output"  # `temp` is a preview, `input` an input shown again
_SAVE_OR_KEEP: Final = 'a SaveImage node, or set metadata.previews to "keep"'


@dataclass(frozen=True, slots=True, order=True)
class FileRef:
    """One file at the server; old files are named again when the cache answers."""

    filename: str
    subfolder: str
    type: str

    def as_query(self) -> dict[str, str]:
        """The parameters of `GET /view`."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}


def refusal(answer: Answer, graph: Mapping[str, Any]) -> TaskFailedError:
    """The failure that a refused prompt is, with every node's complaint.

    Of a cycle the server says no more than that it could not check them.
    """
    body = mapping(answer.body)
    error = body.get("error")
    general = error.get("message", "") if isinstance(error, Mapping) else str(error or "")
    details = list(_complaints(body.get("node_errors")))
    if not details and isinstance(error, Mapping) and error.get("details"):
        details = [str(error["details"])]
    if cycle := cycle_in(graph):
        return TaskFailedError(
            f"the graph has a cycle: {' -> '.join(cycle)}",
            code="runtime_rejected",
            answer=answer.body,
        )
    message = "; ".join(part for part in (general, *details) if part)
    return answer.failure(message or f"the runtime answered {answer.status}")


def cycle_in(graph: Mapping[str, Any]) -> list[str]:
    """The nodes of a cycle, the first of them again at the end; empty if there is none."""
    left = {node_id: _sources(node) for node_id, node in graph.items()}
    while ready := [node for node, sources in left.items() if not left.keys() & sources]:
        for node in ready:
            del left[node]
    cycle = list(left)[:1]
    while cycle and cycle.count(cycle[-1]) == 1:
        cycle.append(next(one for one in left if one in left[cycle[-1]]))
    return cycle[cycle.index(cycle[-1]) :] if cycle else []


def _sources(node: object) -> set[str]:
    """The nodes whose outputs a node takes."""
    inputs = mapping(mapping(node).get("inputs"))
    links = [value for value in inputs.values() if len(items(value)) == _PAIR]
    return {text(link[0]) for link in links}


def partial_refusal(answer: Answer) -> TaskFailedError:
    """The failure that a prompt is of which only a part would run."""
    message = "; ".join(_complaints(mapping(answer.body).get("node_errors")))
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
    status = mapping(entry.get("status"))
    if status.get("status_str") == "success" and status.get("completed"):
        return
    events = _events(entry)
    if "execution_error" in events:
        raise _execution_error(events["execution_error"])
    if "execution_interrupted" in events:
        raise RunInterruptedError("somebody else interrupted the runtime")
    raise TaskFailedError("the runtime gave no reason", code="runtime_error", answer=status)


def results(outputs: Mapping[str, Any], *, keep_previews: bool = False) -> list[FileRef]:
    """Every file that is a result, of whatever kind its node calls it, once each."""
    kinds = {_RESULT, _PREVIEW} if keep_previews else {_RESULT}
    refs = map(_file_ref, _items(outputs))
    return list(dict.fromkeys(ref for ref in refs if ref and ref.type in kinds))


def from_cache(entry: Mapping[str, Any]) -> bool:
    """Whether a node whose output a history entry shows was not run for it."""
    cached = items(_events(entry).get("execution_cached", {}).get("nodes"))
    return any(text(node) in mapping(entry.get("outputs")) for node in cached)


def has_text(outputs: Mapping[str, Any]) -> bool:
    """Whether a node gave values of its own: text, numbers, whatever is no file."""
    return any(item is not None and _file_ref(item) is None for item in _items(outputs))


def why_nothing(
    outputs: Mapping[str, Any], graph: Mapping[str, Any], *, keep_previews: bool = False
) -> str:
    """Why a graph has no results although it ran, and what to do; empty if nobody knows."""
    refs = [ref for ref in map(_file_ref, _items(outputs)) if ref]
    if any(ref.type == _PREVIEW for ref in refs):
        return f"the graph has only previews, which are not kept: add {_SAVE_OR_KEEP}"
    if refs:
        return "the graph only shows its inputs again: add a SaveImage node"
    if sending := ", ".join(sorted(set(senders(graph).values()))):
        if keep_previews:
            return f"{sending} sent no image: add a SaveImage node"
        return f"{sending} sends its images to an editor and keeps none: use {_SAVE_OR_KEEP}"
    return ""


def _items(outputs: Mapping[str, Any]) -> Iterator[Any]:
    for node in outputs.values():
        for name, shown in mapping(node).items():
            if name not in _ABOUT_FILES:
                yield from shown if isinstance(shown, list) else [shown]


def _file_ref(item: object) -> FileRef | None:
    fields = mapping(item)
    name = text(fields.get("filename"))
    if not name:
        return None
    return FileRef(name, text(fields.get("subfolder")), text(fields.get("type")) or _RESULT)


def _events(entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    messages = items(mapping(entry.get("status")).get("messages"))
    pairs = [message for message in messages if len(items(message)) == _PAIR]
    return {text(event): mapping(content) for event, content in pairs}


def _complaints(node_errors: object) -> Iterator[str]:
    for node_id, shown in mapping(node_errors).items():
        entry = mapping(shown)
        for one in map(mapping, items(entry.get("errors"))):
            said = ": ".join(str(one[key]) for key in ("message", "details") if one.get(key))
            yield f"node {node_id} ({entry.get('class_type')}): {said}"


def _execution_error(content: Mapping[str, Any]) -> TaskFailedError:
    kind = str(content.get("exception_type", ""))
    said = str(content.get("exception_message", "")).strip()
    where = f"node {content.get('node_id')} ({content.get('node_type')})"
    kept = ("node_id", "node_type", "exception_type", "exception_message", "traceback")
    no_memory = is_out_of_memory(kind, said)
    return TaskFailedError(
        f"{where}: {kind}: {said}",
        code=OUT_OF_MEMORY if no_memory else "runtime_error",
        retryable=no_memory,
        answer={key: content[key] for key in kept if key in content},
    )
