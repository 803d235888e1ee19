"""The forms in which people have a pipeline: those of runtimes, and those of others."""

from __future__ import annotations

from typing import Any, Final

from ingest.payload import invalid, parse_object, wrong

_RUNPOD: Final = frozenset({"id", "input", "policy", "s3Config", "webhook"})
_COMFYUI_EDITOR: Final = "is in the editor's format: use Workflow > Export (API)"
_INVOKEAI_EDITOR: Final = (
    "is a workflow of InvokeAI's editor, not the graph of its API: take it from a queue item"
)


def pipeline(content: dict[str, Any], field: str) -> dict[str, Any]:
    """The content as a runtime takes it, without what others wrap around a graph.

    Raises `RejectedError` that names `field` for a form that no runtime takes.
    """
    inner, at = _unwrapped(content, field)
    prompt = inner.get("prompt")
    if isinstance(prompt, str):
        inner = {**inner, "prompt": parse_object(prompt, f"{at}.prompt")}
    for path in ((), ("prompt",), ("graph",), ("batch", "graph")):
        _check_graph(inner, path, at)
    return inner


def hint(body: dict[str, Any]) -> str:
    """What to do with a request that is only a graph; empty if it is none."""
    inner, _ = _unwrapped(body, "body")
    if not _is_graph(inner) and not _is_graph(inner.get("prompt")) and not _is_editor(inner):
        return ""
    return (
        'this is a graph: send it as {"task": {"metadata": {"id": ..., "runtime": ...,'
        ' "tasktype": "pipeline"}, "content": <graph>}}'
    )


def _unwrapped(content: dict[str, Any], field: str) -> tuple[dict[str, Any], str]:
    """The content and its name without the wrapping of RunPod, or of an editor's export."""
    sent = content.get("input")
    if isinstance(sent, dict) and content.keys() <= _RUNPOD and "class_type" not in sent:
        if sent.get("images"):
            told = "is not taken: name images by URL in the graph, such as LoadImage.image"
            raise invalid([wrong(f"{field}.input.images", told)])
        content, field = sent, f"{field}.input"
    for name in ("output", "workflow"):  # `output` is the graph where both are there
        graph: Any = content.get(name)
        if isinstance(graph, str) and name == "workflow":
            graph = parse_object(graph, f"{field}.{name}")
        if _is_graph(graph) or (name == "workflow" and _is_editor(graph)):
            return dict(graph), f"{field}.{name}"
    return content, field


def _check_graph(content: dict[str, Any], path: tuple[str, ...], field: str) -> None:
    value: Any = content
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if _is_editor(value):
        told = _INVOKEAI_EDITOR if "edges" in value else _COMFYUI_EDITOR
        raise invalid([wrong(".".join((field, *path)), told)])


def _is_editor(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def _is_graph(value: Any) -> bool:
    """Whether it is a graph of ComfyUI's API: nodes by their ids."""
    return isinstance(value, dict) and any(
        isinstance(node, dict) and "class_type" in node for node in value.values()
    )
