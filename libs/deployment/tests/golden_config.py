"""The golden configuration, and what is made of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from deployment.check import check

GOLDEN = Path("tests/contract/golden/config.yaml")
FIRST = "modelsRuntime[0]"
POOL = f"{FIRST}.extraValues.karpenter.provisioner"
NODE = f"{FIRST}.extraValues.karpenter.nodeTemplate"
PODS = f"{FIRST}.extraValues.runtime"
GONE = object()
FIRST_AT = "modelsRuntime.0"
POOL_AT = f"{FIRST_AT}.extraValues.karpenter.provisioner"
NODE_AT = f"{FIRST_AT}.extraValues.karpenter.nodeTemplate"
PODS_AT = f"{FIRST_AT}.extraValues.runtime"


def config(**first: Any) -> dict[str, Any]:
    """The golden file with other keys of its runtime."""
    values: dict[str, Any] = copy.deepcopy(yaml.safe_load(GOLDEN.read_text()))
    values["modelsRuntime"][0] |= first
    return values


def warnings(values: dict[str, Any], region: str | None = "us-east-1") -> list[str]:
    checked = check(values, region)
    assert checked.errors == ()
    return [finding.text for finding in checked.warnings]


def runtime(**values: Any) -> dict[str, Any]:
    return config(extraValues={"runtime": {"inferenceApi": {"image": IMAGE}, **values}})


def comfyui(**values: Any) -> dict[str, Any]:
    comfy = runtime(**values)
    comfy["modelsRuntime"][0] |= {"type": "comfyui", "modelFilename": ""}
    return comfy


def nodes(**values: Any) -> dict[str, Any]:
    return config(
        extraValues={"runtime": {"inferenceApi": {"image": IMAGE}}, "karpenter": values}
    )


IMAGE = {"repository": "example.com/sdwebui", "tag": "1"}


def put(values: Any, where: str, value: object) -> None:
    """Set a value at a path such as `a.0.b`, making mappings on the way."""
    *way, last = where.split(".")
    for step in way:
        values = values[int(step)] if step.isdigit() else values.setdefault(step, {})
    if value is GONE:
        del values[last]
    elif isinstance(values, list):
        values.append(value)
    else:
        values[last] = value


def refused(where: str, value: object) -> list[str]:
    """What is said of the golden file with another value at a place."""
    values = copy.deepcopy(yaml.safe_load(GOLDEN.read_text()))
    put(values, where, value)
    return [finding.text for finding in check(values, "us-east-1").errors]
