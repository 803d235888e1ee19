from __future__ import annotations

from typing import Any

import pytest

from ansible_runs import Ansible, Run
from earlier_roles import ACCOUNT, REGION, STACK, facts, runtime

PREFIX = f"{STACK}-{REGION}"
ROLES = ("cluster", "identity", "karpenter", "keda", "s3_csi")
VARIABLES = {
    **facts(runtime("sdruntime"), runtime("comfy", type="comfyui", namespace="artists")),
    "kubernetes_apply": False,
    "helm_repositories_reachable": False,
    "emulator_lacks": ["eks:DescribeAddonVersions"],
    "identity_input_buckets": ["inputs"],
}


@pytest.fixture(scope="module")
def ran(ansible: Ansible) -> Run:
    """Give a run in an empty account; test_site.py checks first and runs again."""
    return ansible.roles(*ROLES, variables=VARIABLES)


@pytest.fixture
def eks(ansible: Ansible, ran: Run) -> Any:
    assert ran.changed > 0
    return ansible.client("eks")


@pytest.fixture
def iam(ansible: Ansible, ran: Run) -> Any:
    assert ran.changed > 0
    return ansible.client("iam")


def test_what_is_not_rendered_is_said(ran: Run) -> None:
    for chart in ("karpenter-crd", "karpenter", "keda"):
        assert f"{chart} is not rendered" in ran.output


def test_the_cluster_lets_only_access_entries_in(eks: Any) -> None:
    cluster = eks.describe_cluster(name=STACK)["cluster"]

    assert cluster["accessConfig"]["authenticationMode"] == "API"
    assert not cluster["accessConfig"]["bootstrapClusterCreatorAdminPermissions"]
    assert cluster["resourcesVpcConfig"]["endpointPrivateAccess"]
    assert cluster["tags"] == {"darkroom/stack": STACK, "Name": STACK}
    entries = {
        arn: eks.describe_access_entry(clusterName=STACK, principalArn=arn)["accessEntry"][
            "type"
        ]
        for arn in eks.list_access_entries(clusterName=STACK)["accessEntries"]
    }
    assert entries == {
        f"arn:aws:iam::{ACCOUNT}:root": "STANDARD",
        f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-karpenter-node": "EC2_LINUX",
    }


def test_the_cluster_has_two_nodes_and_its_add_ons(eks: Any) -> None:
    group = eks.describe_nodegroup(clusterName=STACK, nodegroupName="services")["nodegroup"]

    assert group["scalingConfig"]["desiredSize"] == 2
    assert group["subnets"] == VARIABLES["network_private_subnet_ids"]
    assert set(eks.list_addons(clusterName=STACK)["addons"]) == {
        "vpc-cni",
        "kube-proxy",
        "coredns",
        "eks-pod-identity-agent",
        "aws-mountpoint-s3-csi-driver",
    }


def test_nodes_demand_a_token_for_their_metadata_and_pods_get_none(
    ansible: Ansible, ran: Run
) -> None:
    assert ran.changed > 0
    versions = ansible.client("ec2").describe_launch_template_versions(
        LaunchTemplateName=f"{STACK}-services"
    )["LaunchTemplateVersions"]

    assert len(versions) == 1
    options = versions[0]["LaunchTemplateData"]["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)


def test_each_service_account_has_the_role_that_trusts_it(eks: Any, iam: Any) -> None:
    listed = eks.list_pod_identity_associations(clusterName=STACK)["associations"]
    accounts = {
        (each["namespace"], each["serviceAccount"]): eks.describe_pod_identity_association(
            clusterName=STACK, associationId=each["associationId"]
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
        "queue-agent-comfy",
    }
    role = accounts["artists", "queue-agent-comfy"].rpartition("/")[2]
    (trust,) = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"] == {
        "aws:RequestTag/kubernetes-namespace": "artists",
        "aws:RequestTag/kubernetes-service-account": "queue-agent-comfy",
    }


def test_an_agent_can_use_its_own_queue_and_the_buckets_only(iam: Any) -> None:
    statements = policy(iam, "queue-agent-comfy", "queue-agent")

    buckets = f"{ACCOUNT}-{REGION}"
    assert {each["Sid"]: each["Resource"] for each in statements} == {
        "Tasks": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{STACK}-comfy",
        "LargeBodies": f"arn:aws:s3:::{STACK}-claims-{buckets}/*",
        "Inputs": ["arn:aws:s3:::inputs/*"],
        "Outputs": f"arn:aws:s3:::{STACK}-output-{buckets}/*",
    }


def test_a_service_that_calls_nothing_may_call_nothing(iam: Any) -> None:
    name = f"{PREFIX}-ingest"

    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == []
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []


def test_all_inline_policies_of_a_role_fit_into_what_iam_takes(iam: Any) -> None:
    statements = policy(iam, "karpenter", "karpenter")

    assert len(str(statements)) < 10_240


def test_karpenter_hears_of_interruptions(ansible: Ansible, ran: Run) -> None:
    assert ran.changed > 0
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{STACK}_interruptions"
    events = ansible.client("events")
    rules = [rule["Name"] for rule in events.list_rules(NamePrefix=STACK)["Rules"]]

    assert sorted(rules) == [
        f"{STACK}-{name}"
        for name in ("health", "rebalance", "spot-interruption", "state-change")
    ]
    for rule in rules:
        (target,) = events.list_targets_by_rule(Rule=rule)["Targets"]
        assert target["Arn"] == queue


def policy(iam: Any, component: str, name: str) -> list[dict[str, Any]]:
    """Give the statements of a policy of a component's role."""
    found = iam.get_role_policy(RoleName=f"{PREFIX}-{component}", PolicyName=name)
    statements: list[dict[str, Any]] = found["PolicyDocument"]["Statement"]
    return statements
