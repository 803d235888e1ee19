"""The check is checked: each planted error must be found, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from manifests import problems
from rendering import objects, only, read_values, render, values_files

Json = dict[str, Any]


@pytest.fixture(scope="module")
def good() -> list[Json]:
    (path,) = (path for path in values_files("runtime") if path.stem == "golden")
    return objects(render("runtime", read_values(path)))


def _set(*path: str | int, to: object) -> Callable[[Json], None]:
    def plant(item: Json) -> None:
        part: Any = item
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = to

    return plant


def _drop(*path: str | int) -> Callable[[Json], None]:
    def plant(item: Json) -> None:
        part: Any = item
        for step in path[:-1]:
            part = part[step]
        del part[path[-1]]

    return plant


POD = ("spec", "template", "spec")
AGENT = (*POD, "containers", 0)
POOL = ("spec", "template", "spec")
REQUIREMENT = (*POOL, "requirements", 0)
EBS = ("spec", "blockDeviceMappings", 1, "ebs")
PLANTED: dict[str, tuple[str, Callable[[Json], None], str]] = {
    "unknown-field-of-a-spec": ("Deployment", _set("spec", "replica", to=1), "replica"),
    "unknown-field-of-a-probe": (
        "Deployment",
        _set(*AGENT, "livenessProbe", "failures", to=3),
        "failures",
    ),
    "unknown-field-of-an-old-api": (
        "NodePool",
        _set("spec", "disruption", "expireAfter", to="720h"),
        "expireAfter",
    ),
    "unknown-field-of-a-trigger": (
        "ScaledObject",
        _set("spec", "triggers", 0, "identityOwner", to="operator"),
        "identityOwner",
    ),
    "field-at-the-wrong-level": (
        "ScaledObject",
        _set("spec", "scaleOnInFlight", to=True),
        "scaleOnInFlight",
    ),
    "unknown-field-of-a-volume": (
        "EC2NodeClass",
        _set(*EBS, "volumesize", to="80Gi"),
        "volumesize",
    ),
    "number-where-text-belongs": (
        "ScaledObject",
        _set("spec", "triggers", 0, "metadata", "queueLength", to=10),
        "10 is not of type 'string'",
    ),
    "boolean-where-text-belongs": (
        "ScaledObject",
        _set("spec", "triggers", 0, "metadata", "scaleOnInFlight", to=True),
        "True is not of type 'string'",
    ),
    "text-where-a-number-belongs": (
        "Deployment",
        _set(*POD, "terminationGracePeriodSeconds", to="110"),
        "'110' is not of type 'integer'",
    ),
    "number-as-a-label": (
        "Deployment",
        _set("metadata", "labels", "team", to=7),
        "7 is not of type 'string'",
    ),
    "boolean-as-a-variable": (
        "Deployment",
        _set(*AGENT, "env", 1, "value", to=True),
        "True is not of type 'string'",
    ),
    "number-as-a-budget": (
        "NodePool",
        _set("spec", "disruption", "budgets", 0, "nodes", to=1),
        "1 is not of type 'string'",
    ),
    "wrong-choice-of-consolidation": (
        "NodePool",
        _set("spec", "disruption", "consolidationPolicy", to="WhenUnderutilized"),
        "'WhenUnderutilized' is not one of",
    ),
    "wrong-choice-of-a-pod-identity": (
        "TriggerAuthentication",
        _set("spec", "podIdentity", "provider", to="aws-pod-identity"),
        "'aws-pod-identity' is not one of",
    ),
    "wrong-choice-of-tokens": (
        "EC2NodeClass",
        _set("spec", "metadataOptions", "httpTokens", to="always"),
        "'always' is not one of",
    ),
    "wrong-choice-of-a-pull-policy": (
        "Deployment",
        _set(*AGENT, "imagePullPolicy", to="Sometimes"),
        "'Sometimes' is unknown",
    ),
    "missing-triggers": ("ScaledObject", _drop("spec", "triggers"), "'triggers' is a required"),
    "missing-subnets": (
        "EC2NodeClass",
        _drop("spec", "subnetSelectorTerms"),
        "'subnetSelectorTerms' is a required",
    ),
    "missing-group-of-a-reference": (
        "NodePool",
        _drop(*POOL, "nodeClassRef", "group"),
        "'group' is a required",
    ),
    "missing-selector": ("Deployment", _drop("spec", "selector"), "'selector' is a required"),
    "out-of-range-hop-limit": (
        "EC2NodeClass",
        _set("spec", "metadataOptions", "httpPutResponseHopLimit", to=0),
        "0 is less than the minimum",
    ),
    "size-of-no-unit": ("EC2NodeClass", _set(*EBS, "volumeSize", to="80"), "does not match"),
    "rule-more-pods-at-least-than-at-most": (
        "ScaledObject",
        _set("spec", "minReplicaCount", to=21),
        "minReplicaCount must be less than or equal to maxReplicaCount",
    ),
    "rule-both-role-and-profile": (
        "EC2NodeClass",
        _set("spec", "instanceProfile", to="nodes"),
        "must specify exactly one of",
    ),
    "rule-alias-of-another-family": (
        "EC2NodeClass",
        _set("spec", "amiSelectorTerms", 0, "alias", to="al2023@latest"),
        "amiFamily must be 'AL2023'",
    ),
    "rule-alias-beside-an-id": (
        "EC2NodeClass",
        _set("spec", "amiSelectorTerms", 0, "id", to="ami-0123"),
        "'id' is mutually exclusive",
    ),
    "rule-volume-of-no-size": (
        "EC2NodeClass",
        _set("spec", "blockDeviceMappings", 0, "ebs", to={"volumeType": "gp3"}),
        "snapshotID or volumeSize must be defined",
    ),
    "rule-restricted-label": (
        "NodePool",
        _set(*REQUIREMENT, "key", to="karpenter.sh/capacity"),
        'label domain "karpenter.sh" is restricted',
    ),
    "rule-restricted-label-of-a-node": (
        "NodePool",
        _set("spec", "template", "metadata", "labels", to={"kubernetes.io/hostname": "a"}),
        '"kubernetes.io/hostname" is restricted',
    ),
    "rule-no-values-of-a-choice": (
        "NodePool",
        _set(*REQUIREMENT, "values", to=[]),
        "operator 'In' must have a value",
    ),
    "rule-schedule-of-no-duration": (
        "NodePool",
        _set("spec", "disruption", "budgets", 0, "schedule", to="@daily"),
        "'schedule' must be set with 'duration'",
    ),
    "name-in-capitals": ("ConfigMap", _set("metadata", "name", to="SdRuntime"), "no DNS name"),
    "selector-of-other-labels": (
        "Deployment",
        _set("spec", "selector", "matchLabels", "app", to="other"),
        "does not match the labels",
    ),
    "variable-there-twice": (
        "Deployment",
        _set(*AGENT, "env", 0, to={"name": "PEX_ROOT", "value": "/"}),
        "'PEX_ROOT' is there twice",
    ),
    "mount-of-no-volume": (
        "Deployment",
        _set(*AGENT, "volumeMounts", 0, "name", to="temp"),
        "no volume 'temp'",
    ),
    "probe-of-no-port": (
        "Deployment",
        _set(*AGENT, "livenessProbe", "httpGet", "port", to="http"),
        "no port 'http'",
    ),
    "kind-of-an-old-api": (
        "NodePool",
        _set("apiVersion", to="karpenter.sh/v1beta1"),
        "no such",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_error_is_found(good: list[Json], name: str) -> None:
    kind, plant, told = PLANTED[name]
    item = copy.deepcopy(only(good, kind))
    assert problems(item) == []

    plant(item)

    assert any(told in text for text in problems(item)), problems(item)
