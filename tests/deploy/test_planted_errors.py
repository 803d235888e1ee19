"""The checks see what is wrong with the templates: each error here is planted into one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pytest
from cfn_lint import lint
from rendered_stacks import CONFIGURATIONS, texts
from stack_checks import CHECKS, Deployment

from ansible_runs import Ansible

CHINA = "cn-north-1"


@dataclass(frozen=True)
class Planted:
    """An error, and which rule of cfn-lint or check of ours sees it."""

    stack: str  # the end of its name
    old: str  # a regular expression, of which the first match counts
    new: str
    seen_by: str
    configuration: str = "three-runtimes"


ERRORS = {
    "a property with a wrong name": Planted(
        "-sdruntime", "SqsManagedSseEnabled", "SqsManagedSSEEnabled", "E3002"
    ),
    "a required property that is missing": Planted(
        "-cluster", r" +AddonName: coredns\n", "", "E3003"
    ),
    "a type that China does not have": Planted(
        "-network", r"(Type: AWS::EC2::)VPCEndpoint", r"\1SubnetCidrReservation", "E3006", CHINA
    ),
    "a value that a property does not take": Planted(
        "-cluster", "AmiType: .*", "AmiType: AL2023_ARM", "E3030"
    ),
    "an add-on that waits for nodes that wait for it": Planted(
        "-cluster", "DependsOn: VpcCniAssociation", "DependsOn: ServiceNodes", "E3004"
    ),
    "a number beyond its range": Planted(
        "-sdruntime",
        "MessageRetentionPeriod: 1209600",
        "MessageRetentionPeriod: 1209601",
        "E3034",
    ),
    "a name that is too long": Planted(
        "-cluster", "RoleName: ", "RoleName: {}".format("a" * 60), "E3033"
    ),
    "a text in place of a boolean": Planted(
        "-network", "EnableDnsSupport: true", "EnableDnsSupport: yes please", "E3012"
    ),
    "two networks that overlap": Planted("-network", "10.0.32.0/19", "10.0.0.0/20", "E3060"),
    "a circle of references": Planted(
        "-sdruntime",
        r"sourceQueueArns: \[.*\]\}",
        "sourceQueueArns: [{Fn::GetAtt: [Queue, Arn]}]}",
        "E3004",
    ),
    "a reference to nothing": Planted("-network", r"\{Ref: Vpc\}", "{Ref: Vpcs}", "E1020"),
    "an attribute that a type does not have": Planted(
        "-cluster", r"\[Cluster, Endpoint\]", "[Cluster, Address]", "E6101"
    ),
    "two resources of one name": Planted("-network", "  InternetGateway:", "  Vpc:", "E0000"),
    "a resource that waits for nothing that is there": Planted(
        "-sdruntime", "DependsOn: QueuePolicy", "DependsOn: Policy", "E3005"
    ),
    "a policy of another version": Planted(
        "-cluster", 'Version: "2012-10-17"', 'Version: "2012-10-71"', "E3512"
    ),
    "a policy about any action": Planted(
        "-cluster", "Action: s3:ListBucket", "Action: s3:*", "policies"
    ),
    "a policy about any resource": Planted(
        "-cluster", r"(Action: eks:DescribeCluster\n +Resource: ).*", r'\1"*"', "policies"
    ),
    "a topic that anybody may use": Planted(
        "-cluster", r"Principal: \{AWS: .*\}", 'Principal: "*"', "policies"
    ),
    "a policy that is longer than IAM takes": Planted(
        "-cluster", "Sid: QueueLengths", "Sid: {}".format("QueueLengths" * 900), "sizes"
    ),
    "an ARN of another partition": Planted(
        "-cluster",
        "arn:aws-cn:iam::aws:policy",
        "arn:aws:iam::aws:policy",
        "partitions",
        CHINA,
    ),
    "a subnet that is missing": Planted("-cluster", r"(SubnetIds: \[).*?, ", r"\1", "subnets"),
    "an output of the original that is lost": Planted(
        "Stack", r"  sdNotificationOutputArn: .*\n", "", "outputs"
    ),
    "a queue without its policy": Planted(
        "-comfy", r"Queues: \[\{Ref: DeadLetters\}\]", "Queues: [{Ref: Queue}]", "queues"
    ),
    "a topic that is not encrypted": Planted(
        "-cluster", r" +KmsMasterKeyId: .*\n", "", "topics"
    ),
    "a tracing mode that SNS does not have": Planted(
        "-cluster", "TracingConfig: Active", "TracingConfig: Enabled", "topics"
    ),
    "a subscription before the queue takes its messages": Planted(
        "-comfy", r" +DependsOn: QueuePolicy\n", "", "order"
    ),
    "nodes before their network": Planted("-cluster", r" +- VpcCniAddon\n", "", "order"),
    "a deployment of an API without a route": Planted(
        "Stack", r" +- PathV1alpha1Post\n", "", "order"
    ),
    "an add-on that is lost": Planted(
        "-cluster", "AddonName: metrics-server", "AddonName: adot", "add_ons"
    ),
    "a browser's question that needs a key": Planted(
        "Stack", "ApiKeyRequired: false", "ApiKeyRequired: true", "methods"
    ),
    "a route about which no browser may ask": Planted(
        "Stack", "HttpMethod: OPTIONS", "HttpMethod: PATCH", "methods"
    ),
    "an answer that is held back": Planted("Stack", "STREAM", "BUFFERED", "methods"),
    "a pod with the role of another": Planted(
        "-cluster",
        r"(ServiceAccount: router\n +RoleArn: \{Fn::GetAtt: \[)RouterRole",
        r"\1NotifierRole",
        "identities",
    ),
}


@pytest.fixture(scope="module")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployment]:
    """The templates of the configurations into which errors are planted."""
    ansible = Ansible(tmp_path_factory.mktemp("stacks"), endpoint="")
    named = {each: CONFIGURATIONS[each] for each in ("three-runtimes", CHINA)}
    return {name: Deployment(named[name], each) for name, each in texts(ansible, named).items()}


@pytest.fixture(scope="module")
def seen(deployments: dict[str, Deployment]) -> dict[str, set[str]]:
    """By which rules and checks each error is seen; cfn-lint is started once for all."""
    planted = {name: plant(error, deployments) for name, error in ERRORS.items()}
    linted = lint(
        [(text, deployment.configuration.region) for deployment, text in planted.values()]
    )
    return {
        name: {rule for rule, _ in found} or ours(deployment)
        for (name, (deployment, _)), found in zip(planted.items(), linted, strict=True)
    }


def plant(error: Planted, deployments: dict[str, Deployment]) -> tuple[Deployment, str]:
    """The deployment with an error, and the template that has it."""
    deployment = deployments[error.configuration]
    (stack,) = (name for name in deployment.texts if name.endswith(error.stack))
    text = re.sub(error.old, error.new, deployment.texts[stack], count=1)
    assert text != deployment.texts[stack], error.old
    return replace(deployment, texts=deployment.texts | {stack: text}), text


def ours(deployment: Deployment) -> set[str]:
    return {check.__name__ for check in CHECKS if list(check(deployment))}


@pytest.mark.parametrize("name", ERRORS)
def test_a_planted_error_is_seen(name: str, seen: dict[str, set[str]]) -> None:
    assert ERRORS[name].seen_by in seen[name]
