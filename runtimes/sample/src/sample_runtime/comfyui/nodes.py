"""What a node is: its inputs, as `/object_info` tells them, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from sample_runtime.checkpoints import CheckpointCatalog
from sample_runtime.comfyui.files import Folders
from sample_runtime.gpu import Gpu

Values = Mapping[str, Any]


class InterruptProcessingError(Exception):
    """The prompt was interrupted while the node worked."""


@dataclass(frozen=True)
class Input:
    """One input: its type, or the names to choose from, and its options (min, max, ...)."""

    kind: str | Callable[[Place], list[str]]
    options: Mapping[str, Any] = field(default_factory=dict)

    def describe(self, place: Place) -> list[Any]:
        """The input as `/object_info` shows it."""
        kind = self.kind if isinstance(self.kind, str) else self.kind(place)
        return [kind, dict(self.options)]


@dataclass(frozen=True)
class Combo(Input):
    """A choice as the nodes of ComfyUI's newer schema show it."""

    def describe(self, place: Place) -> list[Any]:
        """The choice as `/object_info` shows it."""
        choices, options = super().describe(place)
        return ["COMBO", {"multiselect": False, "options": choices, **options}]


@dataclass(frozen=True)
class Place:
    """What the nodes of one server share."""

    gpu: Gpu
    catalog: CheckpointCatalog
    folders: Folders


class Job(Protocol):
    """What a node may know of the prompt it works for."""

    place: Place
    prompt_id: str
    prompt: dict[str, Any]

    def progress(self, value: int, maximum: int) -> None:
        """Tell the client how far the running node is."""


@dataclass(frozen=True)
class Result:
    """What a node gives: values for other nodes, and for output nodes what is shown."""

    values: tuple[Any, ...] = ()
    shown: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One class of nodes; `custom` names inputs checked by `check` instead of a list."""

    run: Callable[[Job, Values], Awaitable[Result]]
    category: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    is_output: bool = False
    custom: frozenset[str] = frozenset()
    check: Callable[[Place, Values], str | None] = lambda _place, _values: None
    fingerprint: Callable[[Place, Values], str] = lambda _place, _values: ""

    def describe(self, name: str, place: Place) -> dict[str, Any]:
        """The node as `/object_info` shows it."""
        return {
            "input": {
                "required": {key: one.describe(place) for key, one in self.inputs.items()}
            },
            "input_order": {"required": list(self.inputs)},
            "output": list(self.outputs),
            "output_is_list": [False] * len(self.outputs),
            "output_name": list(self.outputs),
            "name": name,
            "display_name": name,
            "description": "",
            "python_module": "nodes",
            "category": self.category,
            "output_node": self.is_output,
        }


@dataclass(frozen=True)
class Latent:
    """Pictures to be: their size in pixels and number, and what they start from or are."""

    width: int
    height: int
    count: int
    pictures: tuple[Image.Image, ...] = ()
