"""Which level of Pod Security the pods of the charts meet, and what preflight says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from filters import filter_plugin
from pod_security import level
from rendering import VALUES, merged, objects, read_values, render, values_files

Json = dict[str, Any]

preflight = filter_plugin("preflight")


def _levels(chart: str, values: Json) -> set[str]:
    found = objects(render(chart, values))
    deployments = [item for item in found if item["kind"] == "Deployment"]
    return {level(item["spec"]["template"]["spec"]) for item in deployments}


@pytest.mark.parametrize("path", values_files("platform"), ids=lambda path: path.stem)
def test_services_meet_the_strictest_level(path: Path) -> None:
    assert _levels("platform", read_values(path)) == {"restricted"}


@pytest.mark.parametrize(
    ("name", "context", "expected"),
    [
        ("golden", {}, "baseline"),
        ("golden", {"runAsUser": 1000}, "restricted"),
        ("golden", {"runAsNonRoot": True}, "restricted"),
        ("golden", {"runAsUser": 0}, "baseline"),
        ("golden", {"runAsUser": 1000, "allowPrivilegeEscalation": True}, "baseline"),
        ("golden", {"runAsUser": 1, "capabilities": {"add": ["KILL"]}}, "baseline"),
        ("golden", {"capabilities": {"add": ["SYS_PTRACE"]}}, "privileged"),
        ("golden", {"privileged": True, "allowPrivilegeEscalation": True}, "privileged"),
        ("comfyui", {}, "baseline"),
        ("comfyui", {"runAsUser": 1000}, "restricted"),
        ("nvme-soci", {"runAsUser": 1000}, "restricted"),
        ("invokeai", {}, "baseline"),
        ("invokeai", {"runAsUser": 1000}, "restricted"),
        ("everything", {}, "restricted"),
    ],
)
def test_a_runtime_meets_the_level_that_preflight_expects(
    name: str, context: Json, expected: str
) -> None:
    above = {"runtime": {"inferenceApi": {"securityContext": context}}}
    values = merged(read_values(VALUES / "runtime" / f"{name}.yaml"), above)

    assert _levels("runtime", values) == {expected}
    assert preflight.pod_security_level({"values": values}) == expected
