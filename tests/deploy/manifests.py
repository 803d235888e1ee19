"""What an API server would say about an object, without one.

Core kinds go by the schema of Kubernetes; KEDA's and Karpenter's by their CRDs with every
object closed and with their CEL rules; https://kubernetes.io/docs/reference/using-api/cel/.
A few rules of the server that no schema has are told in `_structure`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import cel
import cel.stdlib
import jsonschema
import kubernetes_validate
import yaml

from toolbox import schemas

KUBERNETES = "1.33"
Json = dict[str, Any]

_LABEL = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$")
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
_PORT = re.compile(r"^(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$")
_PULL = {"Always", "IfNotPresent", "Never"}


def problems(item: Json) -> list[str]:
    """What is wrong with an object; nothing for one that the server takes."""
    if any(item["apiVersion"].startswith(group) for group in ("keda.sh/", "karpenter.")):
        found = _custom(item)
    else:
        found = _core(item)
    # Rules come after the shape, and may rely on it.
    return [f"{item['kind']}: {text}" for text in found or _structure(item)]


def _core(item: Json) -> list[str]:
    try:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(part) for part in error.path)
        return [f"{where}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return []


def _custom(item: Json) -> list[str]:
    schema = _definitions().get((item["apiVersion"], item["kind"]))
    if schema is None:
        return [f"no such kind in {item['apiVersion']}"]
    metadata = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": item["metadata"]}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(item)
    wrong = [f"{error.json_path}: {error.message}" for error in errors]
    return [*_core(metadata), *wrong] or list(_broken_rules(schema, item, "$"))


@cache
def custom_kinds() -> list[Json]:
    """The `spec` of each of KEDA's and Karpenter's CRDs."""
    folders = map(schemas, ("keda", "karpenter-aws"))
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    return [yaml.safe_load(path.read_text())["spec"] for path in files]


@cache
def _definitions() -> dict[tuple[str, str], Json]:
    """The schema of each custom kind by its API version and name."""
    found = {}
    for spec in custom_kinds():
        for version in spec["versions"]:
            api = f"{spec['group']}/{version['name']}"
            schema = version["schema"]["openAPIV3Schema"]
            found[api, spec["names"]["kind"]] = _closed(schema, top=True)
    return found


def _closed(schema: Json, *, top: bool = False) -> Json:
    """A schema that refuses fields it does not know; the server drops them silently."""
    closed = dict(schema)
    if "properties" in schema:
        properties = schema["properties"].items()
        closed["properties"] = {name: _closed(part) for name, part in properties}
        if top:
            closed["properties"]["metadata"] = {"type": "object"}
        open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
        if not open_ended:
            closed.setdefault("additionalProperties", False)
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            closed[inner] = _closed(schema[inner])
    return closed


def _broken_rules(schema: Json, value: object, where: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield f"{where}: {rule.get('message', rule['rule'])}"
    if isinstance(value, dict):
        for key, part in value.items():
            inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if isinstance(inner, dict):
                yield from _broken_rules(inner, part, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            yield from _broken_rules(schema["items"], part, f"{where}[{index}]")


def _holds(rule: str, value: object) -> bool:
    context = cel.Context({"self": value})
    cel.stdlib.add_stdlib_to_context(context)
    context.add_function("find", _find)
    try:
        return cel.evaluate(rule, context) is True
    except (RuntimeError, TypeError, ValueError):
        return False  # to the server, a rule that fails to run is broken


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _structure(item: Json) -> Iterator[str]:
    if not _NAME.match(item["metadata"]["name"]):
        yield f"metadata.name: {item['metadata']['name']!r} is no DNS name"
    for key, value in item["metadata"].get("labels", {}).items():
        if not _LABEL.match(str(value)):
            yield f"metadata.labels.{key}: {value!r} is no label value"
    if item["kind"] == "Deployment":
        yield from _workload(item["spec"])


def _workload(spec: Json) -> Iterator[str]:
    labels = spec["template"]["metadata"].get("labels", {})
    if not spec["selector"].get("matchLabels", {}).items() <= labels.items():
        yield "spec.selector does not match the labels of the template"
    pod = spec["template"]["spec"]
    volumes = [volume["name"] for volume in pod.get("volumes", ())]
    yield from _repeated("volumes", volumes)
    everyone = [*pod.get("initContainers", ()), *pod["containers"]]
    yield from _repeated("containers", [c["name"] for c in everyone])
    ports = [p["containerPort"] for c in everyone for p in c.get("ports", ())]
    yield from _repeated("ports of the pod", ports)
    for container in everyone:
        for text in _container(container, volumes):
            yield f"container {container['name']}: {text}"


def _container(container: Json, volumes: list[str]) -> Iterator[str]:
    if container.get("imagePullPolicy", "Always") not in _PULL:
        yield f"imagePullPolicy: {container['imagePullPolicy']!r} is unknown"
    yield from _repeated("env", [item["name"] for item in container.get("env", ())])
    mounts = container.get("volumeMounts", ())
    yield from _repeated("mount paths", [mount["mountPath"] for mount in mounts])
    for mount in mounts:
        if mount["name"] not in volumes:
            yield f"volumeMounts: there is no volume {mount['name']!r}"
    names = [port["name"] for port in container.get("ports", ())]
    for name in names:
        if not _PORT.match(name):
            yield f"ports: {name!r} is no port name"
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        port = container.get(kind, {}).get("httpGet", {}).get("port", 0)
        if isinstance(port, str) and port not in names:
            yield f"{kind}: there is no port {port!r}"


def _repeated(what: str, names: list[Any]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{what}: {name!r} is there twice"
