"""Finding the inputs in a runtime's body that are named by URL. Pure: nothing is fetched here.

A string is an input if it is as a whole one `http://`, `https://` or `s3://` URL and no field
above it is a text field. In a ComfyUI graph only the inputs of nodes are looked at, so what
editors keep beside the graph (`extra_data`, `_meta`) stays as it is.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

Path = tuple[str | int, ...]

TEXT_FIELDS: Final = frozenset(
    {
        "comments",
        "filename_prefix",
        "force_task_id",
        "hr_checkpoint_name",
        "hr_negative_prompt",
        "hr_prompt",
        "hr_sampler_name",
        "hr_scheduler",
        "infotext",
        "name",
        "negative_prompt",
        "override_settings",
        "prompt",
        "refiner_checkpoint",
        "sampler_index",
        "sampler_name",
        "scheduler",
        "script_name",
        "sd_model_checkpoint",
        "sd_vae",
        "styles",
    }
)
"""Fields whose text is never fetched, at any depth, with all that is below them."""

GRAPH_TEXT_FIELDS: Final = TEXT_FIELDS | {"clip_l", "t5xxl", "text", "text_g", "text_l"}
"""The same for the inputs of nodes; the added ones are of `CLIPTextEncode` and its kin."""

SHOWN_CHARACTERS: Final = 300
_IMAGE_NAME_FIELD: Final = "image_name"
_URL = re.compile(r"(?:https?|s3)://\S+", re.IGNORECASE)
_UPLOAD_FIELD = "image"
_UPLOAD_CLASSES = ("LoadImage",)  # LoadImageMask and LoadImageOutput begin with it, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One place in a body that names an input."""

    path: Path
    url: str = field(repr=False)
    upload: bool = False  # the runtime wants a name of its own there, not base64

    @property
    def field_name(self) -> str:
        """The place as people write it: `alwayson_scripts.x.args[0].image`."""
        parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return "".join(parts).removeprefix(".")[:SHOWN_CHARACTERS]


def is_url(text: str) -> bool:
    """Whether `text` is as a whole one URL of a kind that can be fetched."""
    return _URL.fullmatch(text) is not None


def shown(url: str) -> str:
    """A URL without what may be secret in it: credentials, query and fragment.

    A long one is cut, because a message with it has to fit into a callback.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that is not valid"
    if not parts.netloc:
        return "a URL without a host"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:SHOWN_CHARACTERS]


def find_in_body(content: Mapping[str, Any]) -> list[Input]:
    """The inputs of a body of SD WebUI, in its order."""
    return [Input(path=path, url=url) for path, url in _walk(content, (), TEXT_FIELDS)]


def find_in_graph(content: Mapping[str, Any]) -> list[Input]:
    """The inputs of a ComfyUI body, which is a graph or has one under `prompt`."""
    path: Path = ("prompt",) if is_wrapped(content) else ()
    graph = content["prompt"] if path else content
    found = []
    for node_id, node in graph.items():
        if not isinstance(node, Mapping):
            continue
        kind = node.get("class_type")
        loads = isinstance(kind, str) and kind.startswith(_UPLOAD_CLASSES)
        start = (*path, node_id, "inputs")
        for where, url in _walk(node.get("inputs"), start, GRAPH_TEXT_FIELDS):
            upload = loads and where == (*start, _UPLOAD_FIELD)
            found.append(Input(path=where, url=url, upload=upload))
    return found


def find_in_nodes(content: Mapping[str, Any]) -> list[Input]:
    """The inputs of an InvokeAI body: the names of images that are URLs."""
    return [
        Input(path=path, url=url, upload=True)
        for path, url in _walk(content, (), frozenset())
        # What the editor keeps beside the graph stays as it is.
        if path[-1] == _IMAGE_NAME_FIELD and "workflow" not in path[:2]
    ]


def is_wrapped(content: Mapping[str, Any]) -> bool:
    """Whether the graph is under `prompt`; a node may be called `prompt`, too."""
    inner = content.get("prompt")
    return isinstance(inner, Mapping) and "class_type" not in inner


def replaced(content: Mapping[str, Any], values: Mapping[Path, str]) -> dict[str, Any]:
    """A copy of the body with other values at some places."""
    result: dict[str, Any] = copy.deepcopy(dict(content))
    for path, value in values.items():
        target: Any = result
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value
    return result


def _walk(value: Any, path: Path, text_fields: frozenset[str]) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        if is_url(value):
            yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in text_fields:
                yield from _walk(inner, (*path, key), text_fields)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(inner, (*path, index), text_fields)
