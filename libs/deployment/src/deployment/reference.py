"""The reference of the configuration file as a Markdown page, made from the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from deployment.schema import allowed, resolved, schema

_HEAD = """# Configuration

One file describes a stack. `darkroom init` writes one to begin with, and
`darkroom config check FILE` says what is wrong with it. `ansible-playbook playbooks/site.yml`
reads `config.yaml` in the working directory, the file of `-e config_file=FILE`, or the keys as
variables (`-e @FILE`).

The keys are those of the original solution, and a file of it is deployed as it is. This page is
made from the schema: `darkroom config reference` prints it, `darkroom config schema` prints the
schema.
"""


def page() -> str:
    """The page."""
    lines = [_HEAD, "## The stack", "", *_table(schema(), "", skip=("modelsRuntime",))]
    listed = schema()["properties"]["modelsRuntime"]["description"]
    runtime = _table(schema()["$defs"]["modelRuntime"], "", skip=("extraValues",))
    lines += ["", "## `modelsRuntime[]`", "", listed, "", *runtime]
    extra = schema()["$defs"]["extraValues"]
    lines += ["", "## `modelsRuntime[].extraValues`", "", extra["description"]]
    for name in ("runtime", "karpenter"):
        for key, part in _sections(resolved(extra["properties"][name]), name):
            lines += ["", f"### `{key}`", "", part["description"], "", *_table(part, f"{key}.")]
    return "\n".join([*lines, ""])


def _sections(part: Mapping[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A mapping that has keys of its own, and those in it that have a name in `$defs`."""
    inner = {
        name: resolved(each) for name, each in part["properties"].items() if _is_section(each)
    }
    rest = {name: each for name, each in part["properties"].items() if name not in inner}
    if rest:
        yield key, {**part, "properties": rest}
    for name, each in inner.items():
        yield from _sections(each, f"{key}.{name}")


def _is_section(part: Mapping[str, Any]) -> bool:
    return resolved(part).get("properties") is not None and "$ref" in part and len(part) == 1


def _table(part: Mapping[str, Any], prefix: str, skip: tuple[str, ...] = ()) -> list[str]:
    return [
        "| key | meaning | allowed | default | example |",
        "| --- | --- | --- | --- | --- |",
        *_rows(part, prefix, skip),
    ]


def _rows(part: Mapping[str, Any], prefix: str, skip: tuple[str, ...] = ()) -> Iterator[str]:
    required = part.get("required", [])
    for name, each in part["properties"].items():
        if name in skip:
            continue
        leaf = resolved(each)
        if "default" not in leaf and leaf.get("properties"):
            yield from _rows(leaf, f"{prefix}{name}.")
        else:
            yield _row(f"{prefix}{name}", leaf, required=name in required)
            yield from _entries(leaf, f"{prefix}{name}[].")
            if leaf.get("properties"):
                yield from _rows(leaf, f"{prefix}{name}.")


def _entries(leaf: Mapping[str, Any], prefix: str) -> Iterator[str]:
    items = resolved(leaf.get("items", {}))
    described = all("description" in each for each in items.get("properties", {}).values())
    if "properties" in items and described:
        yield from _rows(items, prefix)


def _row(key: str, leaf: Mapping[str, Any], *, required: bool) -> str:
    default = "required" if required else _code(leaf.get("default"))
    example = _code(leaf["examples"][0]) if leaf.get("examples") else ""
    cells = (f"`{key}`", leaf["description"], allowed(leaf), default, example)
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _code(value: object) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text[1:-1]}`" if isinstance(value, str) and value else f"`{text}`"


def _escaped(cell: str) -> str:
    # Between backquotes `<` stands for itself.
    parts = cell.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)
