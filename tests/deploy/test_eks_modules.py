from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ansible_runs import Ansible
from modules import Modules

ROLE = "arn:aws:iam::000000000000:role/tester"
POLICIES = "arn:aws:eks::aws:cluster-access-policy"
TAGS = {"darkroom/stack": "tester"}
MORE_TAGS = {**TAGS, "more": "yes"}
NODES: dict[str, Any] = {
    "role_arn": ROLE,
    "subnet_ids": ["subnet-1"],
    "instance_types": ["m6i.large"],
    "size": {"min": 2, "max": 4, "desired": 2},
}


@dataclass(frozen=True)
class Case:
    """A thing that a module makes: what names it, what is asked for first, and then.

    What the emulator does not change is in `test_eks_contract.py`.
    """

    module: str
    names: dict[str, Any]
    first: dict[str, Any]
    then: dict[str, Any]


CASES = [
    Case(
        "eks_cluster",
        {"name": "other"},
        {"role_arn": ROLE, "subnet_ids": ["subnet-1"], "log_types": ["audit"], "tags": TAGS},
        {},
    ),
    Case(
        "eks_nodegroup",
        {"cluster_name": "tester", "name": "services"},
        {**NODES, "labels": {"a": "b"}, "tags": TAGS},
        {},
    ),
    Case(
        "eks_addon",
        {"cluster_name": "tester", "name": "vpc-cni"},
        {"configuration": {"enableNetworkPolicy": "true"}, "tags": TAGS},
        {"configuration": {"enableNetworkPolicy": "false"}, "version": "v1.20.4-eksbuild.1"},
    ),
    Case(
        "eks_pod_identity_association",
        {"cluster_name": "tester", "namespace": "darkroom", "service_account": "router"},
        {"role_arn": ROLE, "tags": TAGS},
        {"role_arn": f"{ROLE}-2"},
    ),
    Case(
        "eks_access_entry",
        {"cluster_name": "tester", "principal_arn": ROLE},
        {"policies": [{"arn": f"{POLICIES}/AmazonEKSViewPolicy"}], "tags": TAGS},
        {
            "policies": [
                {"arn": f"{POLICIES}/AmazonEKSEditPolicy", "namespaces": ["darkroom"]},
            ],
            "kubernetes_groups": ["viewers"],
        },
    ),
    Case(
        "event_rule",
        {"name": "tester-spot"},
        {
            "pattern": {"source": ["aws.ec2"]},
            "target_arn": "arn:aws:sqs:us-east-1:000000000000:tester",
            "tags": TAGS,
        },
        {"pattern": {"source": ["aws.health"]}, "tags": MORE_TAGS},
    ),
    Case("generated_secret", {"name": "tester/key"}, {"tags": TAGS}, {"tags": MORE_TAGS}),
    Case(
        "node_launch_template",
        {"name": "tester-services"},
        {"disk_gib": 50, "tags": TAGS},
        {"disk_gib": 60, "metadata_hops": 2},
    ),
]


@pytest.fixture(scope="module")
def here(ansible: Ansible, modules: Modules) -> Modules:
    """Modules whose AWS has a cluster."""
    ansible.client("eks").create_cluster(
        name="tester", roleArn=ROLE, resourcesVpcConfig={"subnetIds": ["subnet-1"]}
    )
    return modules.at(ansible.endpoint)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.module)
def test_a_module_makes_changes_and_removes_and_repeats_nothing(
    here: Modules, case: Case
) -> None:
    asked = [case.first, case.first | case.then] if case.then else [case.first]

    changes = [
        here.run(case.module, check=check, **case.names, **arguments)["changed"]
        for arguments in [*asked, {"state": "absent"}]
        for check in (True, False, False)
    ]

    # A check in between changes nothing, or what follows it would find nothing to do.
    assert changes == [True, True, False] * (len(asked) + 1)


def test_an_entry_has_just_the_policies_that_are_asked_for(
    ansible: Ansible, here: Modules
) -> None:
    names: dict[str, Any] = {"cluster_name": "tester", "principal_arn": f"{ROLE}-3"}
    view = {"arn": f"{POLICIES}/AmazonEKSViewPolicy"}
    edit = {"arn": f"{POLICIES}/AmazonEKSEditPolicy", "namespaces": ["darkroom"]}

    here.run("eks_access_entry", **names, policies=[view])
    here.run("eks_access_entry", **names, policies=[edit])

    found = ansible.client("eks").list_associated_access_policies(
        clusterName="tester", principalArn=f"{ROLE}-3"
    )["associatedAccessPolicies"]
    assert [(each["policyArn"], each["accessScope"]) for each in found] == [
        (edit["arn"], {"type": "namespace", "namespaces": ["darkroom"]})
    ]


def test_a_cluster_takes_no_other_subnets(here: Modules) -> None:
    answer = here.run(
        "eks_cluster", name="tester", role_arn=ROLE, subnet_ids=["subnet-2"], fails=True
    )

    assert answer["msg"] == "a cluster's subnet_ids cannot be changed"


def test_a_node_group_keeps_the_size_that_somebody_gave_it(here: Modules) -> None:
    names: dict[str, Any] = {"cluster_name": "tester", "name": "sized"}
    more = {**NODES, "size": {"min": 2, "max": 4, "desired": 3}}
    here.run("eks_nodegroup", **names, **more)

    answer = here.run("eks_nodegroup", **names, **NODES)

    assert not answer["changed"]


def test_a_generated_secret_is_known_by_its_hash_only(ansible: Ansible, here: Modules) -> None:
    answer = here.run("generated_secret", name="tester/shown")

    value = ansible.client("secretsmanager").get_secret_value(SecretId="tester/shown")
    assert len(value["SecretString"]) >= 43
    assert value["SecretString"] not in str(answer)
    assert len(answer["sha256"]) == 64
