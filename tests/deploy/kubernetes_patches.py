"""Patches of objects, by the rules and the schemas of Kubernetes.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
The order that a client asks for with `$setElementOrder` is not kept.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from manifests import KUBERNETES

Json = dict[str, Any]

_KIND = "x-kubernetes-group-version-kind"


def schema(api_version: str, kind: str) -> Json | None:
    """The schema of a kind of Kubernetes' own, or nothing."""
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    found = (each for each in _schemas().values() if isinstance(each, dict))
    by_kind = (each for each in found if wanted in each.get(_KIND, ()))
    return next(by_kind, None)


def merged(old: Any, patch: Any, schema: Json | None) -> Any:
    """A value with a patch in it: a strategic one with a schema, else one of JSON."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    found = dict(old) if isinstance(old, dict) else {}
    for name in set(found) - set(patch.get("$retainKeys", found)):
        del found[name]
    for name, value in patch.items():
        part = _property(schema, name)
        by = (part or {}).get("x-kubernetes-patch-merge-key")
        if value is None:
            found.pop(name, None)
        elif by and isinstance(value, list):
            found[name] = _list(found.get(name) or [], value, by, part)
        elif not name.startswith("$"):
            found[name] = merged(found.get(name), value, part)
    return found


def _list(old: list[Json], patch: list[Json], by: str, schema: Json | None) -> list[Json]:
    found = {item[by]: item for item in old}
    for item in patch:
        if item.get("$patch") == "delete":
            found.pop(item[by], None)
        else:
            part = _resolved((schema or {}).get("items"))
            found[item[by]] = merged(found.get(item[by]), item, part)
    return list(found.values())


def _property(schema: Json | None, name: str) -> Json | None:
    found = _resolved(schema) or {}
    inner = found.get("properties", {}).get(name) or found.get("additionalProperties")
    # The merge key stands beside a reference.
    return _resolved(inner) if isinstance(inner, dict) else None


def _resolved(schema: Json | None) -> Json | None:
    reference = (schema or {}).get("$ref")
    return _schemas()[reference.rpartition("/")[2]] if reference else schema


@cache
def _schemas() -> dict[str, Json]:
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    file = folder / f"v{KUBERNETES}.0-local" / "_definitions.json"
    found: dict[str, Json] = json.loads(file.read_text())["$defs"]
    return found
