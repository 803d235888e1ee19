"""A filter for tests: a template of CloudFormation without what the emulator refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LACKS = {
    "AWS::ApiGateway::VpcLink",
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    "AWS::EKS::AccessEntry",
    "AWS::EKS::Addon",
    "AWS::EKS::PodIdentityAssociation",
    "AWS::XRay::ResourcePolicy",
}


def emulated(template: dict[str, Any]) -> dict[str, Any]:
    """The template with a text in place of each reference to a resource that is left out."""
    resources = template["Resources"]
    gone = {name for name, each in resources.items() if refused(each)}
    kept = {name: each for name, each in resources.items() if name not in gone}
    for each in kept.values():
        on = each.get("DependsOn", [])
        each["DependsOn"] = [
            one for one in ([on] if isinstance(on, str) else on) if one not in gone
        ]
    stubbed: dict[str, Any] = without(template | {"Resources": kept}, gone)
    return stubbed


def refused(resource: dict[str, Any]) -> bool:
    """Whether the emulator does not take a resource; it has no alarms of several metrics."""
    return resource["Type"] in LACKS or "Metrics" in resource["Properties"]


def without(value: Any, gone: set[str]) -> Any:
    """A value with a text in place of each reference to a resource that is not there."""
    if isinstance(value, dict):
        name = value.get("Ref") or (value.get("Fn::GetAtt") or [None])[0]
        if name in gone:
            return f"no-{name}"
        return {key: without(each, gone) for key, each in value.items()}
    if isinstance(value, list):
        return [without(each, gone) for each in value]
    return value


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"emulated": emulated}
