"""The cluster of the three runtimes: who may come in, and what each component may do."""

from __future__ import annotations

from typing import Any

import pytest

from sites import ACCOUNT, REGION, TRIO, Site

PREFIX = f"{TRIO}-{REGION}"


@pytest.fixture
def eks(trio: Site) -> Any:
    return trio.ansible.client("eks")


@pytest.fixture
def iam(trio: Site) -> Any:
    return trio.ansible.client("iam")


def test_what_is_not_rendered_is_said(trio: Site) -> None:
    for chart in ("karpenter-crd", "karpenter", "keda"):
        assert f"{chart} is not rendered" in trio.first.output


def test_the_cluster_lets_only_access_entries_in(eks: Any) -> None:
    cluster = eks.describe_cluster(name=TRIO)["cluster"]

    assert cluster["accessConfig"]["authenticationMode"] == "API"
    assert not cluster["accessConfig"]["bootstrapClusterCreatorAdminPermissions"]
    assert cluster["resourcesVpcConfig"]["endpointPrivateAccess"]
    assert cluster["tags"] == {"darkroom/stack": TRIO, "Name": TRIO}
    entries = {
        arn: eks.describe_access_entry(clusterName=TRIO, principalArn=arn)["accessEntry"][
            "type"
        ]
        for arn in eks.list_access_entries(clusterName=TRIO)["accessEntries"]
    }
    assert entries == {
        f"arn:aws:iam::{ACCOUNT}:root": "STANDARD",
        f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-karpenter-node": "EC2_LINUX",
    }


def test_the_cluster_has_two_nodes_and_its_add_ons(eks: Any, trio: Site) -> None:
    group = eks.describe_nodegroup(clusterName=TRIO, nodegroupName="services")["nodegroup"]

    assert group["scalingConfig"]["desiredSize"] == 2
    subnets = trio.ansible.client("ec2").describe_subnets(SubnetIds=group["subnets"])["Subnets"]
    assert [each["MapPublicIpOnLaunch"] for each in subnets] == [False] * 3
    assert set(eks.list_addons(clusterName=TRIO)["addons"]) == {
        "vpc-cni",
        "kube-proxy",
        "coredns",
        "metrics-server",
        "eks-pod-identity-agent",
        "aws-mountpoint-s3-csi-driver",
        "amazon-cloudwatch-observability",
    }


def test_nodes_demand_a_token_for_their_metadata_and_pods_get_none(trio: Site) -> None:
    versions = trio.ansible.client("ec2").describe_launch_template_versions(
        LaunchTemplateName=f"{TRIO}-services"
    )["LaunchTemplateVersions"]

    assert len(versions) == 1
    options = versions[0]["LaunchTemplateData"]["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)


def test_each_service_account_has_the_role_that_trusts_it(eks: Any, iam: Any) -> None:
    listed = eks.list_pod_identity_associations(clusterName=TRIO)["associations"]
    accounts = {
        (each["namespace"], each["serviceAccount"]): eks.describe_pod_identity_association(
            clusterName=TRIO, associationId=each["associationId"]
        )["association"]["roleArn"]
        for each in listed
    }

    assert {role.rpartition(f"{PREFIX}-")[2] for role in accounts.values()} == {
        "vpc-cni",
        "ingest",
        "router",
        "notifier",
        "model-sync",
        "keda",
        "karpenter",
        "s3-csi",
        "cloudwatch",
        "otel",
        "queue-agent-sdruntime",
        "queue-agent-anymodel",
        "queue-agent-comfy",
    }
    role = accounts["comfy", "queue-agent-comfy"].rpartition("/")[2]
    (trust,) = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"] == {
        "aws:RequestTag/kubernetes-namespace": "comfy",
        "aws:RequestTag/kubernetes-service-account": "queue-agent-comfy",
    }


def test_an_agent_can_use_its_own_queue_and_the_buckets_only(iam: Any) -> None:
    statements = policy(iam, "queue-agent-sdruntime", "queue-agent")

    assert {each["Sid"]: each["Resource"] for each in statements} == of_agent("sdruntime")


def test_an_agent_whose_models_are_copied_may_read_them(iam: Any) -> None:
    statements = policy(iam, "queue-agent-comfy", "queue-agent")

    assert {each["Sid"]: each["Resource"] for each in statements} == {
        **of_agent("comfy"),
        "ModelFolders": f"arn:aws:s3:::{TRIO}-models",
        "Models": f"arn:aws:s3:::{TRIO}-models/*",
    }


def test_a_service_that_calls_nothing_may_call_nothing(iam: Any) -> None:
    name = f"{PREFIX}-ingest"

    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == []
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []


def test_all_inline_policies_of_a_role_fit_into_what_iam_takes(iam: Any) -> None:
    statements = policy(iam, "karpenter", "karpenter")

    assert len(str(statements)) < 10_240


def test_karpenter_hears_of_interruptions(trio: Site) -> None:
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{TRIO}_interruptions"
    events = trio.ansible.client("events")
    rules = [rule["Name"] for rule in events.list_rules(NamePrefix=TRIO)["Rules"]]

    assert sorted(rules) == [
        f"{TRIO}-{name}"
        for name in ("health", "rebalance", "spot-interruption", "state-change")
    ]
    for rule in rules:
        (target,) = events.list_targets_by_rule(Rule=rule)["Targets"]
        assert target["Arn"] == queue


def of_agent(runtime: str) -> dict[str, Any]:
    """What the agent of any runtime may use, by the id of the statement."""
    buckets = f"{ACCOUNT}-{REGION}"
    return {
        "Tasks": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{TRIO}-{runtime}",
        "LargeBodies": f"arn:aws:s3:::{TRIO}-claims-{buckets}/*",
        "Missing": ["arn:aws:s3:::inputs", f"arn:aws:s3:::{TRIO}-claims-{buckets}"],
        "Inputs": ["arn:aws:s3:::inputs/*"],
        "Outputs": f"arn:aws:s3:::{TRIO}-output-{buckets}/*",
    }


def policy(iam: Any, component: str, name: str) -> list[dict[str, Any]]:
    """The statements of a policy of a component's role."""
    found = iam.get_role_policy(RoleName=f"{PREFIX}-{component}", PolicyName=name)
    statements: list[dict[str, Any]] = found["PolicyDocument"]["Statement"]
    return statements
