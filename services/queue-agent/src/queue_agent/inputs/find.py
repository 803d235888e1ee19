"""Finding the inputs in a runtime's body that are named by URL. Pure: nothing is fetched here.

What a string means is said by its field. In a body of SD WebUI each field is a file unless it
is known to be text, because SD WebUI itself fetches whatever begins like a URL. In the graphs
of ComfyUI and InvokeAI only the fields that are known to be files are. A client can name the
files itself; then no other is one.
"""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from contracts.fields import Path, field_name, texts
from queue_agent.domain import TaskFailedError
from queue_agent.inputs.kinds import HEIC, Kind, is_inline_heic
from queue_agent.inputs.nodes import TABLE, Slot, Slots

Chosen = Set[Path] | None
"""The inputs that a client has named; None if it left that to us."""

TEXT_FIELDS: Final = frozenset(
    {
        "ad_negative_prompt",  # of ADetailer
        "ad_prompt",
        "comments",
        "force_task_id",
        "hr_checkpoint_name",
        "hr_negative_prompt",
        "hr_prompt",
        "hr_sampler_name",
        "hr_scheduler",
        "infotext",
        "name",
        "negative_prompt",
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
"""Fields of SD WebUI, at any depth, whose value is a text or a list of texts, never a file."""

SHOWN_CHARACTERS: Final = 300
_SETTINGS: Final = "override_settings"
_SCRIPTS: Final = "alwayson_scripts"
_IMAGE_NAME: Final = "image_name"
_GRAPHS: Final[Set[Path]] = {(), ("graph",), ("batch", "graph")}
_LOADED: Final = Slot(kind=Kind.ANY)
_EMBEDDED: Final = Slot(kind=Kind.IMAGE, upload=False)
# Parsers of URLs take a wrapping <URL:...> off, and some take one slash or a backslash.
_BEGINS_AS_URL: Final = re.compile(
    r"<?(?:url:)?(?:https?:|[a-z][a-z0-9+.-]+:[/\\])", re.IGNORECASE
)
_BEGINNING: Final = 40  # characters
_NODE_FIELD: Final = 3  # steps from `nodes` to a field of a node


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One place in a body that names an input."""

    path: Path
    url: str = field(repr=False)
    slot: Slot

    @property
    def field_name(self) -> str:
        """The place as people write it: `alwayson_scripts.x.args[0].image`."""
        return field_name(self.path)[:SHOWN_CHARACTERS]

    @property
    def source(self) -> tuple[str, Kind]:
        """What is fetched, once for all places that name it."""
        return self.url, self.slot.kind


def url_in(text: str) -> str | None:
    """The URL that a value is, or that some program would take it for; None if it is none.

    What nobody sees counts as little as it does to parsers: blanks around it, and controls in
    how it begins.
    """
    start = next((at for at, one in enumerate(text) if _category(one) not in "CZ"), None)
    if start is None:
        return None
    url = text[start:]
    beginning = "".join(islice((one for one in url if _category(one) != "C"), _BEGINNING))
    if not _BEGINS_AS_URL.match(unicodedata.normalize("NFKC", beginning)):
        return None
    if url[:5].lower() == "s3://":
        return url  # a key may end with blanks
    end = next(at for at in range(len(url), 0, -1) if _category(url[at - 1]) not in "CZ")
    return url[:end]


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


def find_in_body(content: Mapping[str, Any], chosen: Chosen = None) -> list[Input]:
    """The inputs of a body of SD WebUI, in its order.

    Raises `TaskFailedError` if a URL would be handed on, something chosen is none, or a file
    that is in the body itself is of no use to a runtime.
    """
    _check_inline(content, lambda path: not _is_text(path))
    found = []
    for path, url in _urls(content, chosen):
        if path in chosen if chosen is not None else not _is_text(path):
            found.append(Input(path=path, url=url, slot=_EMBEDDED))
        elif not _is_text(path):
            raise _failure(path, "SD WebUI would fetch it, and the task does not name it")
    return found


def find_in_graph(
    content: Mapping[str, Any],
    chosen: Chosen = None,
    known: Mapping[str, Slots] = TABLE,
) -> list[Input]:
    """The inputs of a ComfyUI body, which is a graph or has one under `prompt`.

    `known` has the files of each class of nodes. Raises `TaskFailedError` if something chosen
    is no URL, or a file that is in the body itself is of no use to a runtime.
    """
    start: Path = ("prompt",) if is_wrapped(content) else ()
    graph = content["prompt"] if start else content
    slots = {
        (*start, node_id, "inputs", name): slot
        for node_id, node in graph.items()
        for name, slot in _slots_of(node, known).items()
    }
    _check_inline(content, lambda path: path in slots and not slots[path].upload)
    return [
        Input(path=path, url=url, slot=slots.get(path, _LOADED))
        for path, url in _urls(content, chosen)
        if path in (slots if chosen is None else chosen)
    ]


def find_in_nodes(content: Mapping[str, Any], chosen: Chosen = None) -> list[Input]:
    """The inputs of an InvokeAI body: the names of images that are URLs.

    Raises `TaskFailedError` if something chosen is no URL.
    """
    return [
        Input(path=path, url=url, slot=Slot(kind=Kind.IMAGE))
        for path, url in _urls(content, chosen)
        if (_is_image_field(path) if chosen is None else path in chosen)
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


def _urls(content: Mapping[str, Any], chosen: Chosen) -> Iterator[tuple[Path, str]]:
    for path, text in texts(content):
        if url := url_in(text):
            yield path, url
        elif chosen and path in chosen:
            raise _failure(path, "it names no URL")


def _check_inline(content: Mapping[str, Any], is_file: Callable[[Path], bool]) -> None:
    for path, text in texts(content):
        if is_inline_heic(text) and is_file(path):
            raise _failure(path, HEIC)


def _failure(path: Path, reason: str) -> TaskFailedError:
    message = f"{field_name(path)[:SHOWN_CHARACTERS]}: {reason}"
    return TaskFailedError(message, code="input_unavailable")


def _category(character: str) -> str:
    return unicodedata.category(character)[0]


def _is_text(path: Path) -> bool:
    if path[0] == _SETTINGS:
        return True
    names = [at for at, step in enumerate(path) if isinstance(step, str)]
    if path[0] == _SCRIPTS and names[-1] <= 1:  # the title of a script is no field
        return False
    return path[names[-1]] in TEXT_FIELDS


def _slots_of(node: object, known: Mapping[str, Slots]) -> Slots:
    kind = node.get("class_type") if isinstance(node, Mapping) else None
    if not isinstance(kind, str):
        return {}
    return known[kind] if kind in known else TABLE.get(kind, {})


def _is_image_field(path: Path) -> bool:
    # An `ImageField` lies in a field of its node; what the editor keeps beside the graph stays.
    if path[-1] != _IMAGE_NAME or "nodes" not in path:
        return False
    at = path.index("nodes")
    return path[:at] in _GRAPHS and len(path) > at + _NODE_FIELD
