"""Places in a runtime's body, and what people call them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Path = tuple[str | int, ...]


def field_name(path: Path) -> str:
    """The place as people write it: `alwayson_scripts.x.args[0].image`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(parts).removeprefix(".")


def pointer(path: Path) -> str:
    """The place as a JSON Pointer (RFC 6901), which is never ambiguous."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(f"/{step}" for step in steps)


def texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Each string of a body with its place, in its order; keys are none."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from texts(inner, (*path, index))


def find_texts(content: Any, names: Iterable[str]) -> dict[str, Path]:
    """Where the strings are that `names` name, in either spelling.

    Raises `ValueError` for a name of no string, or of two.
    """
    wanted, found = set(names), dict[str, Path]()
    for path, _ in texts(content) if wanted else ():
        for name in {field_name(path), pointer(path)} & wanted:
            if name in found:
                raise ValueError(f"{name} names two values: write it as a JSON Pointer")
            found[name] = path
    if missing := sorted(wanted - found.keys()):
        raise ValueError(f"{missing[0]} names no text of the content")
    return found
