"""What our modules say to EKS where the emulator cannot answer, as EKS documents it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from modules import Modules
from recorded import Answers, recorded

ROLE = "arn:aws:iam::123456789012:role/tester"
CLUSTER: dict[str, Any] = {
    "name": "tester",
    "arn": "arn:aws:eks:us-east-1:123456789012:cluster/tester",
    "version": "1.33",
    "roleArn": ROLE,
    "status": "ACTIVE",
    "resourcesVpcConfig": {
        "subnetIds": ["subnet-1"],
        "endpointPublicAccess": True,
        "endpointPrivateAccess": True,
        "publicAccessCidrs": ["0.0.0.0/0"],
    },
    "logging": {"clusterLogging": [{"types": ["audit"], "enabled": True}]},
    "accessConfig": {"authenticationMode": "API"},
    "tags": {},
}
GROUP: dict[str, Any] = {
    "nodegroupName": "services",
    "nodegroupArn": "arn:aws:eks:us-east-1:123456789012:nodegroup/tester/services/1",
    "clusterName": "tester",
    "version": "1.33",
    "status": "ACTIVE",
    "nodeRole": ROLE,
    "subnets": ["subnet-1"],
    "amiType": "AL2023_x86_64_STANDARD",
    "instanceTypes": ["m6i.large"],
    "scalingConfig": {"minSize": 2, "maxSize": 4, "desiredSize": 3},
    "labels": {"old": "x", "kept": "x"},
    "taints": [{"key": "old", "value": "", "effect": "NO_SCHEDULE"}],
    "launchTemplate": {"id": "lt-1", "version": "1"},
    "tags": {},
}
DONE = {"id": "u-1", "status": "Successful", "type": "Any", "errors": []}
GROUP_PATH = "/clusters/tester/node-groups/services"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request, what it must say if it changes something, and what AWS answers."""

    request: str
    answer: dict[str, Any]
    body: dict[str, Any] | None = None


def get(path: str, **answer: Any) -> Exchange:
    return Exchange(request=f"GET {path}", answer=answer)


def post(path: str, body: dict[str, Any], update: dict[str, Any] = DONE) -> Exchange:
    return Exchange(request=f"POST {path}", body=body, answer={"update": update})


def run(
    modules: Modules, module: str, *exchanges: Exchange, **arguments: Any
) -> dict[str, Any]:
    """Run the module, which must have just this conversation with AWS."""
    answers: Answers = {}
    for each in exchanges:
        answers.setdefault(each.request, []).append((200, each.answer))
    with recorded(answers) as aws:
        answer = modules.at(aws.url).run(module, **arguments)
    assert aws.asked == [(each.request, each.body) for each in exchanges]
    return answer


def test_a_cluster_is_changed_one_thing_and_one_version_at_a_time(modules: Modules) -> None:
    at_work = {**DONE, "status": "InProgress"}
    update = "/clusters/tester/update-config"

    answer = run(
        modules,
        "eks_cluster",
        get("/clusters/tester", cluster=CLUSTER),
        post(
            update,
            {
                "resourcesVpcConfig": {
                    "endpointPublicAccess": True,
                    "endpointPrivateAccess": True,
                    "publicAccessCidrs": ["192.0.2.0/24"],
                }
            },
            at_work,
        ),
        get("/clusters/tester/updates/u-1", update=DONE),
        post(
            update,
            {
                "logging": {
                    "clusterLogging": [
                        {"types": ["api"], "enabled": True},
                        {
                            "types": [
                                "audit",
                                "authenticator",
                                "controllerManager",
                                "scheduler",
                            ],
                            "enabled": False,
                        },
                    ]
                }
            },
        ),
        post("/clusters/tester/updates", {"version": "1.34"}),
        post("/clusters/tester/updates", {"version": "1.35"}),
        get("/clusters/tester", cluster=CLUSTER),
        get("/clusters/tester", cluster={**CLUSTER, "version": "1.35"}),
        name="tester",
        role_arn=ROLE,
        subnet_ids=["subnet-1"],
        version="1.35",
        public_access_cidrs=["192.0.2.0/24"],
        log_types=["api"],
    )

    assert (answer["changed"], answer["version"]) == (True, "1.35")


def test_a_node_group_is_changed_in_place(modules: Modules) -> None:
    answer = run(
        modules,
        "eks_nodegroup",
        get(GROUP_PATH, nodegroup=GROUP),
        post(
            f"{GROUP_PATH}/update-config",
            {
                "scalingConfig": {"minSize": 4, "maxSize": 6, "desiredSize": 4},
                "labels": {
                    "addOrUpdateLabels": {"kept": "x", "new": "y"},
                    "removeLabels": ["old"],
                },
                "taints": {
                    "addOrUpdateTaints": [],
                    "removeTaints": [{"key": "old", "value": "", "effect": "NO_SCHEDULE"}],
                },
            },
        ),
        post(
            f"{GROUP_PATH}/update-version",
            {"version": "1.34", "launchTemplate": {"id": "lt-1", "version": "2"}},
        ),
        get(GROUP_PATH, nodegroup=GROUP),
        get(GROUP_PATH, nodegroup=GROUP),
        cluster_name="tester",
        name="services",
        role_arn=ROLE,
        subnet_ids=["subnet-1"],
        instance_types=["m6i.large"],
        size={"min": 4, "max": 6, "desired": 4},
        labels={"kept": "x", "new": "y"},
        launch_template={"id": "lt-1", "version": "2"},
        version="1.34",
    )

    assert answer["changed"]


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [("most_recent", "v2.0.0-eksbuild.1"), ("v1.x", "v1.10.0-eksbuild.10")],
)
def test_an_add_on_gets_the_newest_version_that_suits_the_cluster(
    modules: Modules, asked: str, chosen: str
) -> None:
    versions = [
        "v1.9.3-eksbuild.2",
        "v1.10.0-eksbuild.1",
        "v1.10.0-eksbuild.10",
        "v2.0.0-eksbuild.1",
    ]
    offered = [{"addonVersion": each, "compatibilities": []} for each in versions]
    addon = {
        "addonName": "coredns",
        "addonArn": "arn:aws:eks:us-east-1:123456789012:addon/tester/coredns/1",
        "addonVersion": versions[0],
        "status": "ACTIVE",
        "tags": {},
    }

    answer = run(
        modules,
        "eks_addon",
        get("/clusters/tester/addons/coredns", addon=addon),
        get("/clusters/tester", cluster=CLUSTER),
        get(
            "/addons/supported-versions?addonName=coredns&kubernetesVersion=1.33",
            addons=[{"addonName": "coredns", "addonVersions": offered}],
        ),
        post(
            "/clusters/tester/addons/coredns/update",
            {
                "addonVersion": chosen,
                "configurationValues": "{}",
                "resolveConflicts": "OVERWRITE",
            },
        ),
        get("/clusters/tester/addons/coredns", addon=addon),
        get("/clusters/tester/addons/coredns", addon=addon),
        cluster_name="tester",
        name="coredns",
        version=asked,
    )

    assert answer["changed"]
