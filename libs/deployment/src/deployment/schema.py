"""The JSON Schema of the configuration file, and its errors as findings."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from deployment.findings import Finding, Path, shown

SCHEMA_FILE = "config.schema.json"

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


@cache
def text() -> str:
    """The schema as it is in the package."""
    return resources.files("deployment").joinpath(SCHEMA_FILE).read_text("utf-8")


@cache
def schema() -> dict[str, Any]:
    """The schema; do not change it."""
    loaded: dict[str, Any] = json.loads(text())
    return loaded


def resolved(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the schema with what its `$ref` leads to; its own words win."""
    if "$ref" not in part:
        return dict(part)
    name = str(part["$ref"]).removeprefix("#/$defs/")
    own = {key: value for key, value in part.items() if key != "$ref"}
    return resolved(schema()["$defs"][name]) | own


def part_at(*names: str) -> dict[str, Any]:
    """The part of the schema that describes a key of a runtime's `extraValues`."""
    part = resolved(schema()["$defs"]["extraValues"])
    for name in names:
        part = resolved(part["properties"][name])
    return part


def findings(values: object) -> list[Finding]:
    """An error for each thing that the schema does not allow, one for each key."""
    first: dict[Path, Finding] = {}
    for error in _validator().iter_errors(values):
        for finding in _translated(error):
            first.setdefault(finding.path, finding)
    return list(first.values())


@cache
def _validator() -> Any:
    strict = jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # without types
        jsonschema.Draft202012Validator, {"pattern": _whole_pattern}
    )
    return strict(schema())


def _whole_pattern(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    # `$` of Python also matches before a line's end, that of JSON Schema does not.
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError("pattern")


def _translated(error: ValidationError) -> Iterator[Finding]:
    path: Path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        yield from _unknown(error, path)
    elif error.validator == "required":
        yield from _missing(error, path)
    elif "propertyNames" in error.absolute_schema_path:
        yield Finding((*path, str(error.instance)), "a key of this name", allowed(error.schema))
    elif error.validator == "enum":
        yield _no_choice(error, path)
    else:
        quoted = ", in quotes" if _wants_quotes(error) else ""
        yield Finding(path, _what(error), allowed(error.schema) + quoted)


def _unknown(error: ValidationError, path: Path) -> Iterator[Finding]:
    known = sorted(error.schema["properties"])  # type: ignore[index]  # a mapping: it has this keyword
    instance: Any = error.instance
    for name in (name for name in instance if name not in known):
        close = _closest(name, known)
        allowed = ", ".join(known) + (f" (did you mean {close}?)" if close else "")
        yield Finding((*path, name), "an unknown key", allowed)


def _missing(error: ValidationError, path: Path) -> Iterator[Finding]:
    required: Any = error.validator_value
    described: Any = error.schema
    instance: Any = error.instance
    for name in (name for name in required if name not in instance):
        yield Finding(
            (*path, name), "nothing", allowed(resolved(described["properties"][name]))
        )


def _no_choice(error: ValidationError, path: Path) -> Finding:
    choices: Any = error.validator_value
    instance = error.instance
    close = _closest(instance, choices) if isinstance(instance, str) else None
    hint = f" (did you mean {close}?)" if close else ""
    return Finding(path, shown(instance), allowed(error.schema) + hint)


def _closest(name: str, known: list[str]) -> str | None:
    folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name[:100].lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def _what(error: ValidationError) -> str:
    """Say what was found, with its kind where the kind is what is wrong."""
    value = error.instance
    if error.validator != "type" or not isinstance(value, (str, int, float)):
        return shown(value)
    if isinstance(value, bool):
        return shown(value)
    return f"{shown(value)} ({'text' if isinstance(value, str) else 'a number'})"


def _wants_quotes(error: ValidationError) -> bool:
    is_scalar = isinstance(error.instance, (bool, int, float))
    return error.validator == "type" and error.validator_value == "string" and is_scalar


def allowed(part: Any) -> str:
    """Say what a part of the schema allows."""
    if "enum" in part:
        return _or([str(choice) for choice in part["enum"]])
    if "x-allowed" in part:
        return str(part["x-allowed"])
    kinds = part.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    words = _or([_TYPES[kind] for kind in kinds])
    return words + "".join(say(part) for say in _BOUNDS)


def _range(part: Mapping[str, Any]) -> str:
    low, high = part.get("minimum"), part.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else ""


def _length(part: Mapping[str, Any]) -> str:
    low, high = part.get("minItems"), part.get("maxItems")
    if low is not None and high is not None:
        return f" of {low} to {high} entries"
    if low is not None:
        return " that is not empty"
    if high is not None:
        return f" of at most {high} entries"
    return f" of at most {part['maxLength']} characters" if "maxLength" in part else ""


_BOUNDS: tuple[Callable[[Mapping[str, Any]], str], ...] = (_range, _length)


def _or(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
