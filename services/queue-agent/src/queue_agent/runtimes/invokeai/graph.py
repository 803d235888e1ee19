"""Making an InvokeAI graph of some other server into one of this server. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.fields import Path
from queue_agent.domain import TaskFailedError
from queue_agent.inputs.find import replaced

_METADATA: Final = "core_metadata"  # the type of the node that only notes what others do


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One place in a graph that names a model: by key, hash, or name with base and type."""

    path: Path
    asked: Mapping[str, Any] = field(repr=False)
    required: bool  # what only describes the picture need not be there

    def find(self, models: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The model that it means, None if there is none.

        A key is random where each server makes its own, so a name does as well. Raises
        `TaskFailedError` with the code `model_ambiguous` if two models have the name.
        """
        fitting = [one for one in models if one.get("type") == self.asked["type"]]
        for how in (("key",), ("hash",), ("name", "base")):
            wanted = [self.asked.get(name) for name in how]
            found = [one for one in fitting if [one.get(name) for name in how] == wanted]
            if found and all(wanted):
                if how[0] == "name" and self.required and len(found) > 1:
                    raise self._ambiguous(found)
                return found[0]
        return None

    def _ambiguous(self, models: Iterable[Mapping[str, Any]]) -> TaskFailedError:
        keys = ", ".join(f"'{one.get('key')}' ({one.get('path')})" for one in models)
        return TaskFailedError(
            f"{self} may be any of {keys}: ask for one by its key", code="model_ambiguous"
        )

    def __str__(self) -> str:
        """The model as a person calls it."""
        name = self.asked.get("name") or self.asked.get("key")
        return f"{name} (base {self.asked['base']}, type {self.asked['type']})"


def references(graph: Mapping[str, Any]) -> list[Reference]:
    """The places in a graph's nodes that name models."""
    return [
        Reference(path=path, asked=asked, required=kind != _METADATA)
        for node_id, kind, node in _nodes(graph)
        for name, value in node.items()
        for path, asked in _walk(value, ("nodes", node_id, name))
    ]


def with_references(
    graph: Mapping[str, Any], found: Sequence[tuple[Reference, Mapping[str, Any] | None]]
) -> dict[str, Any]:
    """A copy of the graph that names the models as this server does."""
    values: dict[Path, str] = {}
    for reference, model in found:
        if model is not None:
            names = ("key", "hash", "name")
            known = {name: model[name] for name in names if isinstance(model.get(name), str)}
            values |= {(*reference.path, name): value for name, value in known.items()}
    return replaced(graph, values)


def without_reuse(graph: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the graph whose nodes all run.

    A server takes the result of an equal node of an earlier run if it may. What such a result
    names, images and files that the server itself keeps for a while, may be deleted meanwhile.
    """
    nodes = {node_id: {**node, "use_cache": False} for node_id, _, node in _nodes(graph)}
    return {**graph, "nodes": {**graph["nodes"], **nodes}} if nodes else dict(graph)


def image_names(value: object) -> Iterator[str]:
    """The names of images that a graph was given."""
    if isinstance(value, Mapping):
        name = value.get("image_name")
        if isinstance(name, str):
            yield name
        for inner in value.values():
            yield from image_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from image_names(inner)


def _nodes(graph: Mapping[str, Any]) -> Iterator[tuple[str, object, Mapping[str, Any]]]:
    nodes = graph.get("nodes")
    for node_id, node in nodes.items() if isinstance(nodes, Mapping) else ():
        if isinstance(node, Mapping):
            yield node_id, node.get("type"), node


def _walk(value: object, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if _is_reference(value):
            yield path, value
            return
        for key, inner in value.items():
            yield from _walk(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(inner, (*path, index))


def _is_reference(value: Mapping[str, Any]) -> bool:
    named = isinstance(value.get("name"), str) or isinstance(value.get("key"), str)
    return named and all(isinstance(value.get(one), str) for one in ("base", "type"))
