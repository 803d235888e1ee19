"""What the role preflight says of an account, before anything is made in it."""

from __future__ import annotations

from typing import Any

import pytest

from filters import filter_plugin

GOOD = {"helm": "v3.17.2+gcc0bbbd", "kubectl": "v1.32.3", "darkroom": "Usage: darkroom"}
VCPUS = {"g5.xlarge": 4, "g5.2xlarge": 8, "p4d.24xlarge": 96}
ON_DEMAND, SPOT = "ec2/L-DB2E81BA", "ec2/L-3819A6DF"


preflight = filter_plugin("preflight")


def need(**given: Any) -> dict[str, Any]:
    known = {"name": "sdruntime", "types": ["g5.2xlarge", "g5.xlarge"], "replicas": 20}
    return {**known, "on_demand": True, "spot": True, **given}


def test_a_runtime_needs_what_its_values_say_and_else_the_defaults() -> None:
    values = {
        "runtime": {"scaling": {"maxReplicaCount": 3}},
        "karpenter": {
            "provisioner": {"instanceType": ["g6.xlarge"], "capacityType": {"spot": False}}
        },
    }
    runtimes = [{"name": "a", "values": values}, {"name": "b", "values": {}}]

    assert preflight.runtime_needs(runtimes, ["g5.xlarge"], 20) == [
        need(name="a", types=["g6.xlarge"], replicas=3, spot=False),
        need(name="b", types=["g5.xlarge"], replicas=20),
    ]


def test_only_quotas_of_families_in_use_are_looked_up() -> None:
    assert ON_DEMAND in preflight.quota_codes([need()])
    assert "ec2/L-417A185B" not in preflight.quota_codes([need()])
    assert "ec2/L-417A185B" in preflight.quota_codes([need(types=["p4d.24xlarge"])])


def test_the_tools_that_were_tried_are_fine() -> None:
    assert preflight.tool_findings(GOOD, applies=True) == []


@pytest.mark.parametrize(
    ("tools", "applies", "expected"),
    [
        ({"helm": ""}, False, "helm is not on the path"),
        ({"helm": "v3.12.0"}, False, "helm is v3.12.0"),
        ({"helm": "v4.2.3"}, True, "helm is v4.2.3"),
        ({"kubectl": ""}, True, "kubectl is not on the path"),
        ({"kubectl": "v1.27.1"}, True, "kubectl is v1.27.1"),
        ({"darkroom": ""}, True, "darkroom is not on the path"),
    ],
)
def test_a_tool_that_does_not_do_is_named_with_one_that_does(
    tools: dict[str, str], applies: bool, expected: str
) -> None:
    (finding,) = preflight.tool_findings({**GOOD, **tools}, applies=applies)

    assert finding["level"] == "error"
    assert finding["text"].startswith(expected)
    assert ": " in finding["text"]


def test_helm_4_renders() -> None:
    assert preflight.tool_findings({**GOOD, "helm": "v4.2.3"}, applies=False) == []


def test_a_quota_below_one_node_is_an_error() -> None:
    (finding,) = preflight.quota_findings([need()], VCPUS, {ON_DEMAND: 0, SPOT: 0})

    assert finding == {
        "level": "error",
        "text": "G and VT instances may have 0 vCPUs, one node a runtime needs 4: "
        "ask for more of ec2/L-3819A6DF or ec2/L-DB2E81BA in Service Quotas",
    }


def test_a_quota_below_all_replicas_is_a_warning() -> None:
    (finding,) = preflight.quota_findings([need()], VCPUS, {ON_DEMAND: 8, SPOT: 8})

    assert finding["level"] == "warning"
    assert "may have 16 vCPUs, all replicas need 80 to 160" in finding["text"]


def test_both_ways_of_buying_count_together_and_an_unused_one_does_not() -> None:
    quotas = {ON_DEMAND: 40, SPOT: 40}

    assert preflight.quota_findings([need()], VCPUS, quotas) == []
    assert preflight.quota_findings([need(spot=False)], VCPUS, quotas)


def test_a_type_that_no_zone_has_is_an_error_if_it_is_the_only_one() -> None:
    zones = {"g5.xlarge": ["us-east-1d"], "g5.2xlarge": ["us-east-1a"]}
    both, alone = need(), need(types=["g5.xlarge"])

    (warned,) = preflight.type_findings([both], VCPUS, zones, ["us-east-1a"])
    (refused,) = preflight.type_findings([alone], VCPUS, zones, ["us-east-1a"])

    assert warned["level"] == "warning"
    assert refused["level"] == "error"
    assert "g5.xlarge in us-east-1d" in refused["text"]


def test_a_type_that_does_not_exist_is_named() -> None:
    (finding,) = preflight.type_findings([need(types=["g5.tiny"])], VCPUS, {}, ["us-east-1a"])

    assert finding["level"] == "error"
    assert "no g5.tiny in this region" in finding["text"]


def test_each_full_quota_of_the_network_is_a_line_of_its_own() -> None:
    quotas = {"vpc/L-F678F1CE": 5, "ec2/L-0263D0A3": 5, "vpc/L-FE5A380F": 5}
    used = {"vpcs": 5, "addresses": 3, "nat_gateways": 4}
    needed = {"vpcs": 1, "addresses": 3, "nat_gateways": 1}

    findings = preflight.network_findings(used, needed, quotas)

    assert [finding["text"].partition(" are there")[0] for finding in findings] == [
        "5 of at most 5 VPCs",
        "3 of at most 5 elastic IPs",
    ]


def test_what_is_there_already_needs_no_more() -> None:
    quotas = {"vpc/L-F678F1CE": 5}
    used = {"vpcs": 5, "addresses": 0, "nat_gateways": 0}

    assert (
        preflight.network_findings(used, {"vpcs": 0, "addresses": 0, "nat_gateways": 0}, quotas)
        == []
    )


def runtime(**given: Any) -> dict[str, Any]:
    known = {"name": "sdruntime", "type": "sdwebui", "dynamic_model": False, "values": {}}
    return {**known, "model_filename": "v1-5.safetensors", **given}


def test_models_are_looked_for_that_a_runtime_starts_with() -> None:
    runtimes = [
        runtime(),
        runtime(model_filename=""),
        runtime(model_filename="any.safetensors", dynamic_model=True),
        runtime(model_filename="flux.safetensors", type="comfyui"),
    ]

    assert preflight.model_keys(runtimes) == ["Stable-diffusion/v1-5.safetensors"]


def test_a_model_that_is_not_in_the_bucket_is_named_with_how_it_gets_there() -> None:
    runtimes = [runtime(), runtime(name="other", model_filename="other.ckpt")]

    (finding,) = preflight.model_findings(
        runtimes, "models", "readable", ["Stable-diffusion/v1-5.safetensors"]
    )

    assert finding == {
        "level": "warning",
        "text": "runtime sdruntime: no Stable-diffusion/v1-5.safetensors in the bucket models: "
        "bring it in with playbooks/models.yml -e model_source=URL_OR_FILE "
        "-e model_filename=v1-5.safetensors",
    }


def test_a_bucket_that_is_not_there_yet_has_no_model() -> None:
    (finding,) = preflight.model_findings([runtime()], "models", "missing", [])

    assert "in the bucket models, which is not there yet: " in finding["text"]
    assert finding["text"].endswith(" -e create_bucket=true")


@pytest.mark.parametrize("scaling", [{"minReplicaCount": 1}, {"enabled": False}])
def test_a_runtime_that_starts_at_once_may_not_lack_its_model(scaling: dict[str, Any]) -> None:
    starting = runtime(values={"runtime": {"scaling": scaling}})

    (finding,) = preflight.model_findings([starting], "models", "missing", [])

    assert finding["level"] == "error"


def served(**context: Any) -> dict[str, Any]:
    values = {"runtime": {"inferenceApi": {"securityContext": context}}}
    return runtime(namespace="artists", values=values)


def namespace(name: str, **labels: str) -> dict[str, Any]:
    told = {f"pod-security.kubernetes.io/{mode}": level for mode, level in labels.items()}
    return {"metadata": {"name": name, "labels": told} if told else {"name": name}}


def test_a_namespace_that_would_not_let_a_server_start_is_named_with_the_remedies() -> None:
    (finding,) = preflight.pod_security_findings(
        [served()], [namespace("artists", enforce="restricted"), namespace("default")]
    )

    assert finding == {
        "level": "error",
        "text": "runtime sdruntime: the namespace artists enforces Pod Security restricted, "
        "and its server, which may run as root, meets baseline: name a user in "
        "runtime.inferenceApi.securityContext.runAsUser, or kubectl label namespace artists "
        "pod-security.kubernetes.io/enforce=baseline --overwrite",
    }


@pytest.mark.parametrize(
    ("context", "labels"),
    [
        ({"runAsUser": 1000}, {"enforce": "restricted"}),
        ({"runAsNonRoot": True}, {"enforce": "restricted"}),
        ({}, {"enforce": "baseline"}),
        ({}, {"warn": "restricted", "audit": "restricted"}),
        ({"privileged": True}, {}),
    ],
)
def test_a_namespace_that_takes_a_server_is_no_finding(
    context: dict[str, Any], labels: dict[str, str]
) -> None:
    there = [namespace("artists", **labels)]

    assert preflight.pod_security_findings([served(**context)], there) == []
    assert preflight.pod_security_findings([served(**context)], []) == []


def test_the_busiest_zone_counts() -> None:
    subnets = [
        {"subnet_id": "subnet-1", "availability_zone": "us-east-1a"},
        {"subnet_id": "subnet-2", "availability_zone": "us-east-1b"},
    ]
    gateways = [{"subnet_id": "subnet-1"}, {"subnet_id": "subnet-1"}, {"subnet_id": "subnet-2"}]

    assert preflight.busiest_zone(gateways, subnets) == 2
    assert preflight.busiest_zone([], subnets) == 0
