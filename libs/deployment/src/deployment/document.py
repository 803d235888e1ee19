"""Reads a configuration as plain values, and remembers the line of each key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from deployment.findings import Finding, Path, shown, warning

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_VALUES = 20_000  # aliases counted each time they are used

_TAG = "tag:yaml.org,2002:"


@dataclass
class Document:
    """A configuration's values; `findings` says what could not be read."""

    values: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def line(self, path: Path) -> int | None:
        """The line of a key, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read(source: str | bytes | Mapping[str, object]) -> Document:
    """The document that a YAML text or a mapping holds; never raises."""
    document = Document()
    if isinstance(source, (str, bytes)):
        _read_text(source, document)
    else:
        document.values = _Plain(document).value(source, ())
    if not document.findings and not isinstance(document.values, dict):
        _refuse(document, (), shown(document.values), "a mapping with stackName and so on")
    if isinstance(document.values, dict):
        _drop_empty(document.values, (), document)
    return document


def _read_text(source: str | bytes, document: Document) -> None:
    content = source.encode(errors="surrogatepass") if isinstance(source, str) else source
    if len(content) > MAX_BYTES:
        _refuse(document, (), f"more than {MAX_BYTES} bytes", "a smaller file")
        return
    try:
        text = content.decode("utf-8-sig")
        _refuse_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        _refuse(document, (), f"no UTF-8 at byte {error.start}", "text in UTF-8")
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
        _refuse_yaml(document, error)
    else:
        if root is not None:
            document.values = _Constructor(document).value(root, ())


def _refuse_yaml(
    document: Document, error: yaml.MarkedYAMLError | yaml.reader.ReaderError
) -> None:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "no YAML"
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    document.findings.append(
        Finding(
            (),
            f"no readable YAML ({place}{problem})",
            "one YAML document",
            line=mark.line + 1 if mark else None,
        )
    )


def _refuse_depth(text: str) -> None:
    """Raise before the composer, which calls itself, meets too many levels."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MAX_DEPTH} levels",
                problem_mark=event.start_mark,  # type: ignore[arg-type]  # of either parser
            )


def _refuse(document: Document, path: Path, found: str, allowed: str) -> None:
    document.findings.append(Finding(path, found, allowed, line=document.line(path)))


def _drop_empty(values: dict[str, object], path: Path, document: Document) -> None:
    """Treat a key without a value as one that is not there."""
    for name, value in list(values.items()):
        if value is None:
            del values[name]
            document.findings.append(
                warning((*path, name), "no value", "treated as if the key were not there")
            )
        elif isinstance(value, dict):
            _drop_empty(value, (*path, name), document)
        elif isinstance(value, list):
            for index, entry in enumerate(value):
                if isinstance(entry, dict):
                    _drop_empty(entry, (*path, name, index), document)


class _Limits:
    """Counts values and levels, and says once that there are too many."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._values = 0
        self._full = False

    def exceeded(self, path: Path) -> bool:
        self._values += 1
        if self._values <= MAX_VALUES and len(path) <= MAX_DEPTH:
            return False
        if not self._full:
            self._full = True
            allowed = f"at most {MAX_VALUES} values in {MAX_DEPTH} levels"
            _refuse(self.document, (), "too many values, aliases counted", allowed)
        return True


class _Plain(_Limits):
    """Makes plain values of a mapping that another program has read."""

    def value(self, value: object, path: Path) -> object:
        if self.exceeded(path):
            return None
        match value:
            case Mapping():
                return {
                    str(name): self.value(entry, (*path, str(name)))
                    for name, entry in value.items()
                    if self._is_text(name, path)
                }
            case list() | tuple():
                return [self.value(entry, (*path, i)) for i, entry in enumerate(value)]
            case _:
                return self._scalar(value, path)

    def _scalar(self, value: object, path: Path) -> object:
        match value:
            case None | bool():
                return value
            case str():
                return str(value)
            case int():
                return int(value)
            case float() if math.isfinite(value):
                return float(value)
            case _:
                _refuse(self.document, path, f"{shown(str(value))}, {_OTHER_KIND}", _ALLOWED)
                return ""

    def _is_text(self, name: object, path: Path) -> bool:
        if isinstance(name, str):
            return True
        _refuse(self.document, path, f"the key {name!r}, which is no text", _ALLOWED_KEY)
        return False


class _Constructor(_Limits):
    """Makes plain values of YAML nodes, and remembers lines."""

    def value(self, node: yaml.Node, path: Path) -> object:
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if self.exceeded(path):
            return None
        match node:
            case yaml.MappingNode() if node.tag == f"{_TAG}map":
                return self._mapping(node, path)
            case yaml.SequenceNode() if node.tag == f"{_TAG}seq":
                return [self.value(entry, (*path, i)) for i, entry in enumerate(node.value)]
            case yaml.ScalarNode():
                return self._scalar(node, path)
            case _:
                _refuse(self.document, path, f"the YAML tag {node.tag!r}", _ALLOWED)
                return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key, entry in node.value:
            if key.tag == f"{_TAG}merge":
                merged |= self._merged(entry, path)
            elif (name := self._name(key, path)) is None:
                continue
            elif name in values:
                self._refuse_second(name, key, path)
            else:
                self.document.lines[(*path, name)] = key.start_mark.line + 1
                values[name] = self.value(entry, (*path, name))
        return merged | values

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, object]:
        """What `<<` brings; of several mappings the first one wins."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, object] = {}
        for each in nodes:
            # One level deeper, so that a mapping that merges itself comes to an end.
            value = self.value(each, (*path, "<<"))
            if isinstance(value, dict):
                merged = value | merged
            else:
                _refuse(self.document, path, "<< with something else", "<< with mappings")
        return merged

    def _name(self, key: yaml.Node, path: Path) -> str | None:
        if isinstance(key, yaml.ScalarNode) and key.tag == f"{_TAG}str":
            return str(key.value)
        text = key.value if isinstance(key, yaml.ScalarNode) else "of several values"
        found = f"the key {text} at line {key.start_mark.line + 1}, which is no text"
        _refuse(self.document, path, found, _ALLOWED_KEY)
        return None

    def _refuse_second(self, name: str, key: yaml.Node, path: Path) -> None:
        first, second = self.document.lines[(*path, name)], key.start_mark.line + 1
        found = f"the key twice, at lines {first} and {second}"
        _refuse(self.document, (*path, name), found, "each key once")

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            return str(node.value)
        if kind in _KINDS:
            try:
                return _finite(getattr(yaml.SafeLoader(""), f"construct_yaml_{kind}")(node))
            except (ValueError, KeyError, IndexError):
                kind = "number"
        what = {"timestamp": "a date"}.get(kind, f"a YAML value of kind {kind}")
        _refuse(self.document, path, f"{shown(node.value)}, {what}", _ALLOWED)
        return str(node.value)


_KINDS = ("null", "bool", "int", "float")
_OTHER_KIND = "which JSON does not have"
_ALLOWED = "text (in quotes), numbers, true, false, lists and mappings"
_ALLOWED_KEY = "text as a key, in quotes if it looks like something else"


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    return value
