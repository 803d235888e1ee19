"""Charts turned into Kubernetes objects by the real Helm."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from toolbox import ROOT, tool

VALUES = Path(__file__).parent / "values"
CHARTS = ("platform", "runtime")
HELMS = ("helm3", "helm4")
Json = dict[str, Any]


class RefusedError(Exception):
    """Helm does not take the values, and says why."""


def values_files(chart: str) -> list[Path]:
    """The values files of a chart's tests; each counts on top of `golden.yaml`."""
    return sorted((VALUES / chart).glob("*.yaml"))


def read_values(path: Path) -> Json:
    """A values file with what it stands on."""
    golden = _read(path.parent / "golden.yaml")
    return golden if path.name == "golden.yaml" else merged(golden, _read(path))


def merged(below: Json, above: Json) -> Json:
    """Two values files as one, as Helm does it: lists and texts are replaced."""
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            both[key] = merged(old, value)
        else:
            both[key] = value
    return both


def render(chart: str, values: Json, helm: str = "helm3", *, namespace: str = "art") -> str:
    """What `helm template` prints; raises `RefusedError` with what it says."""
    return _helm(helm, "template", "a-release", chart, values, "--namespace", namespace)


def lint(chart: str, values: Json, helm: str) -> str:
    """What `helm lint --strict` says; raises `RefusedError`."""
    return _helm(helm, "lint", "--strict", chart, values)


def objects(rendered: str) -> list[Json]:
    """The objects; a key that is there twice is an error."""
    return [item for item in yaml.load_all(rendered, Loader=_Strict) if item]  # a SafeLoader


def only(found: list[Json], kind: str, name: str | None = None) -> Json:
    """The one object of a kind, and of a name."""
    (item,) = (
        item
        for item in found
        if item["kind"] == kind and name in {None, item["metadata"]["name"]}
    )
    return item


def containers(workload: Json) -> dict[str, Json]:
    """The containers of a workload by name, the initial ones too."""
    pod = workload["spec"]["template"]["spec"]
    return {c["name"]: c for c in (*pod.get("initContainers", ()), *pod["containers"])}


def environment(container: Json) -> dict[str, str]:
    """The variables with a fixed value."""
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


def _helm(helm: str, verb: str, *arguments: str | Json) -> str:
    values = next(item for item in arguments if isinstance(item, dict))
    words = [
        str(ROOT / "charts" / item) if item in CHARTS else item
        for item in arguments
        if isinstance(item, str)
    ]
    done = subprocess.run(
        [tool(helm), verb, *words, "--values", "-"],
        check=False,
        input=yaml.safe_dump(values),
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RefusedError(done.stderr + done.stdout)
    if "warning" in done.stderr.lower():
        raise AssertionError(done.stderr)
    return done.stdout


def _read(path: Path) -> Json:
    found: Json = yaml.safe_load(path.read_text())
    return found


class _Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, as the API server's own reader does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise AssertionError(f"{node.start_mark}: there twice: {twice}")
        return super().construct_mapping(node, deep=deep)
