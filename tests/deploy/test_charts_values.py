from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from rendering import CHARTS, VALUES, RefusedError, merged, read_values, render
from toolbox import ROOT

Json = dict[str, Any]
Path = tuple[str | int, ...]

# In the form of Kubernetes, whose own schema judges them once they are rendered.
_OPEN = re.compile(
    r"(\.|^)(labels|podLabels|annotations|podAnnotations|nodeSelector|tags|securityContext"
    r"|subnetSelector|securityGroupSelector|resourceLimits|limits|requests|valueFrom"
    r"|tolerations\.\d+)(\.|$)"
)


def _everything(chart: str) -> Json:
    return read_values(VALUES / chart / "everything.yaml")


@cache
def _schema(chart: str) -> Json:
    schema: Json = json.loads((ROOT / "charts" / chart / "values.schema.json").read_text())
    return schema


def _walk(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    yield path, value
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _walk(part, (*path, key))
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from _walk(part, (*path, index))


def _at(values: Json, path: Path) -> Any:
    part: Any = values
    for step in path:
        part = part[step]
    return part


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _levels(chart: str) -> list[Path]:
    return [
        path
        for path, value in _walk(_everything(chart))
        if isinstance(value, dict) and not _OPEN.search(_dotted(path))
    ]


def _leaves() -> list[tuple[str, Path]]:
    return [
        (chart, path)
        for chart in CHARTS
        for path, value in _walk(_everything(chart))
        if not isinstance(value, dict | list)
    ]


@pytest.mark.parametrize("chart", CHARTS)
def test_a_typo_is_refused_at_each_level(chart: str) -> None:
    values = _everything(chart)
    for path in _levels(chart):
        _at(values, path)["tpyo"] = 1

    with pytest.raises(RefusedError) as refused:
        render(chart, values)

    found = re.findall(r"- (\S+): Additional property tpyo is not allowed", str(refused.value))
    # An unknown name that is an object's is told as a wrong type.
    found += re.findall(r"- (\S+)\.tpyo: Invalid type", str(refused.value))
    assert set(found) == {_dotted(path) or "(root)" for path in _levels(chart)}


# A choice of one: what it is cannot be seen in what it changes.
_ONLY_CHOICE = {
    "karpenter.nodeTemplate.amiFamily",
    "karpenter.nodeTemplate.osVolume.volumeType",
    "karpenter.nodeTemplate.dataVolume.volumeType",
}
_ORIGINAL = {"repository": "example.com/sd-on-eks/queue-agent"}  # ours runs in its place
_ON_DISKS = {"instanceStorePolicy": "RAID0", "dataVolume": {"snapshotID": ""}}
_COPIED: Json = {
    "runtime": {"persistence": {"type": "nvme"}},
    "karpenter": {"nodeTemplate": _ON_DISKS},
}
# Counts only while another value is not as in `everything.yaml`.
_ELSEWHERE: dict[str, Json] = {
    "runtime.replicas": {"runtime": {"scaling": {"enabled": False}}},
    "deployment.snapshotId": {
        "karpenter": {"nodeTemplate": {"dataVolume": {"snapshotID": ""}}}
    },
    "karpenter.nodeTemplate.dataVolume.encrypted": {
        "deployment": {"snapshotId": ""},
        "karpenter": {"nodeTemplate": {"dataVolume": {"snapshotID": ""}}},
    },
    "runtime.persistence.type": {"karpenter": {"nodeTemplate": _ON_DISKS}},
    "deployment.dnsSuffix": {"deployment": {"awsEndpointUrl": ""}},
    **{
        f"{service}.replicas": {service: {"autoscaling": {"enabled": False}}}
        for service in ("ingest", "router", "notifier", "modelSync")
    },
    **{
        f"{service}.image.tag": {service: {"image": {"digest": ""}}}
        for service in ("ingest", "router", "notifier", "modelSync")
    },
    "deployment.agentImage.repository": {"runtime": {"queueAgent": {"image": _ORIGINAL}}},
    "deployment.agentImage.digest": {"runtime": {"queueAgent": {"image": _ORIGINAL}}},
    "deployment.agentImage.tag": {
        "runtime": {"queueAgent": {"image": _ORIGINAL}},
        "deployment": {"agentImage": {"digest": ""}},
    },
    "runtime.inferenceApi.image.tag": {"runtime": {"inferenceApi": {"image": {"digest": ""}}}},
    "runtime.queueAgent.image.tag": {"runtime": {"queueAgent": {"image": {"digest": ""}}}},
    "runtime.persistence.keys.0": _COPIED,
    "runtime.inferenceApi.keepFilesMinutes": {"type": "comfyui"},
    **{
        f"deployment.modelSyncImage.{part}": {
            "deployment": {"modelSyncImage": {"digest": ""}} if part == "tag" else {},
            **_COPIED,
        }
        for part in ("repository", "digest", "tag")
    },
}


@cache
def _rendered(chart: str) -> str:
    return render(chart, _everything(chart))


def _candidates(value: object) -> Iterator[object]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, str):
        yield from (f"{value}1", f"{value[:-1]}{'1' if value[-1:] != '1' else '2'}", "")
        # The other choices of what is chosen from a few.
        yield from (
            "comfyui",
            "sdwebui",
            "aws",
            "Never",
            "WARNING",
            "soci",
            "nvme",
            "ReadWriteMany",
        )
        yield from ("NoExecute", "NotIn", "Exists", "Disabled", "Percent", "Pods", "Empty", "2")
        yield from ("PT9S", "8Ti", "9h", "10%", "0 8 * * *", "99s", "6Gi", "10.9.0.0/16", "EUR")
        yield from (
            "arn:aws:sns:eu-west-1:123456789012:other",
            "bottlerocket@latest",
            "http://b",
        )


@pytest.mark.parametrize(
    ("chart", "path"),
    [(chart, path) for chart, path in _leaves() if _dotted(path) not in _ONLY_CHOICE],
    ids=[f"{c}-{_dotted(path)}" for c, path in _leaves() if _dotted(path) not in _ONLY_CHOICE],
)
def test_a_value_changes_what_is_rendered(chart: str, path: Path) -> None:
    elsewhere = _ELSEWHERE.get(_dotted(path), {})
    values = merged(_everything(chart), elsewhere)
    before = _rendered(chart) if not elsewhere else render(chart, values)
    checked = Draft7Validator(_schema(chart))

    for other in _candidates(_at(values, path)):
        changed = copy.deepcopy(values)
        _at(changed, path[:-1])[path[-1]] = other
        if not checked.is_valid(changed):  # Helm would refuse it, only later
            continue
        try:
            after = render(chart, changed)
        except RefusedError:
            continue
        if after != before:
            return
    pytest.fail(f"{_dotted(path)} has no effect")


@pytest.mark.parametrize("chart", CHARTS)
def test_everything_has_every_value_of_the_schema(chart: str) -> None:
    schema = _schema(chart)

    def properties(part: Json, path: str) -> Iterator[str]:
        while "$ref" in part:
            part = _at(schema, tuple(part["$ref"].removeprefix("#/").split("/")))
        for name, inner in part.get("properties", {}).items():
            yield from (f"{path}{name}", *properties(inner, f"{path}{name}."))

    there = {_dotted(path) for path, _ in _walk(_everything(chart)) if path}

    # Excludes the snapshot that the rest shows.
    assert set(properties(schema, "")) - there == (
        {"karpenter.nodeTemplate.instanceStorePolicy"} if chart == "runtime" else set()
    )


@pytest.mark.parametrize("chart", CHARTS)
def test_the_schema_closes_each_level_that_names_its_keys(chart: str) -> None:
    named = [
        (path, part)
        for path, part in _walk(_schema(chart))
        if isinstance(part, dict)
        and isinstance(part.get("properties"), dict)
        and "type" in part
    ]

    assert [path for path, part in named if part.get("additionalProperties") is not False] == []


@pytest.mark.parametrize("chart", CHARTS)
def test_facts_of_the_deployment_are_required(chart: str) -> None:
    with pytest.raises(RefusedError, match="stackName"):
        render(chart, {})


def _config_schema() -> Json:
    path = ROOT / "libs/deployment/src/deployment/config.schema.json"
    schema: Json = json.loads(path.read_text())
    return schema


def _demands(schema: Any, *, names: bool = False) -> Any:
    """A schema without what it tells people; `names`: its keys are names of values."""
    if isinstance(schema, list):
        return [_demands(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _demands(part, names=key in {"properties", "$defs"} and not names)
        for key, part in schema.items()
        if names or key not in {"description", "examples", "x-allowed", "default"}
    }


def test_the_configuration_and_the_chart_take_the_same_extra_values() -> None:
    config = _demands(_config_schema())["$defs"]
    chart = _schema("runtime")

    for name in ("karpenter", "runtime"):
        assert chart["properties"][name] == config["extraValues"]["properties"][name]
    others = {"modelRuntime", "extraValues"}
    assert chart["$defs"] == {key: part for key, part in config.items() if key not in others}


def test_the_configuration_tells_the_defaults_of_the_chart() -> None:
    defaults = yaml.safe_load((ROOT / "charts/runtime/values.yaml").read_text())
    schema = _config_schema()

    def told(part: Json, path: str) -> Iterator[tuple[str, object]]:
        if "default" in part:
            yield path, part["default"]
        elif "$ref" in part:
            yield from told(
                _at(schema, tuple(part["$ref"].removeprefix("#/").split("/"))), path
            )
        for name, inner in part.get("properties", {}).items():
            yield from told(inner, f"{path}.{name}")

    def used(path: str) -> object:
        part = defaults
        for step in path.split("."):
            part = part.get(step)
        return part

    wrong = {
        path: (default, used(path))
        for key in ("karpenter", "runtime")
        for path, default in told(schema["$defs"][key], key)
        # None is as good as an empty one, and the agent's image has another.
        if used(path) != default
        and not (used(path) is None and default in ("", [], {}))
        and not path.startswith("runtime.queueAgent.image.")
    }
    assert wrong == {}


def test_the_extra_values_of_the_original_are_those_of_the_golden_file() -> None:
    original = yaml.safe_load((ROOT / "tests/contract/golden/config.yaml").read_text())
    (entry,) = original["modelsRuntime"]
    golden = read_values(VALUES / "runtime" / "golden.yaml")

    assert {key: golden[key] for key in ("runtime", "karpenter")} == entry["extraValues"]
