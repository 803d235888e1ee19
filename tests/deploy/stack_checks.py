"""What is wrong with the rendered templates of a deployment.

cfn-lint knows AWS's types. The checks here know what Darkroom is: what an emulator drops or
refuses, and what AWS would take although it is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from policies import documents, listed, loose_actions, open_statements
from rendered_stacks import Configuration

Json = dict[str, Any]
TEMPLATE_BYTES, POLICIES_CHARACTERS = 51_200, 10_240
OUTPUTS = {
    # Of the original solution, by whose names scripts ask.
    "ClusterName",
    "ConfigCommand",
    "FrontApiEndpoint",
    "GetAPIKeyCommand",
    "GetTokenCommand",
    "OutputS3Bucket",
    "sdNotificationLambdaARN",
    "sdNotificationOutputARN",
    "sdNotificationOutputArn",
}
ADDONS = {
    # What they wait for: no node is ready without its network, and no pod without a node.
    "VpcCniAssociation": ["eks-pod-identity-agent", "kube-proxy", "vpc-cni"],
    "ServiceNodes": [
        "amazon-cloudwatch-observability",
        "aws-mountpoint-s3-csi-driver",
        "coredns",
        "metrics-server",
    ],
}
PODS = {
    # The service accounts with a role, by namespace, beside those of the agents.
    "amazon-cloudwatch": ["cloudwatch-agent"],
    "darkroom": ["ingest", "model-sync", "notifier", "router"],
    "keda": ["keda-operator"],
    "kube-system": ["aws-node", "karpenter", "s3-csi-driver-sa"],
    "observability": ["otel-collector"],
}


@dataclass(frozen=True)
class Deployment:
    """The templates of one configuration, by the name of their stack."""

    configuration: Configuration
    texts: dict[str, str]

    @cached_property
    def templates(self) -> dict[str, Json]:
        """The templates as mappings."""
        return {
            stack: yaml.load(text, Loader=yaml.CSafeLoader)
            for stack, text in self.texts.items()
        }

    def of_type(self, of: str) -> Iterator[tuple[str, Json]]:
        """The resources of a type (all whose name ends so), with where each stands."""
        for stack, template in self.templates.items():
            for name, resource in template["Resources"].items():
                if resource["Type"].endswith(of):
                    yield f"{stack}/{name}", resource

    def properties(self, of: str) -> list[Json]:
        """The properties of all resources of a type."""
        return [resource["Properties"] for _, resource in self.of_type(of)]


def sizes(deployment: Deployment) -> Iterator[str]:
    """What AWS takes at most, which no schema says."""
    for stack, template in deployment.templates.items():
        if len(json.dumps(template)) > TEMPLATE_BYTES:
            yield f"{stack} is longer than CloudFormation takes it"
    for where, role in deployment.of_type("::IAM::Role"):
        policies = json.dumps(role["Properties"].get("Policies", []), separators=(",", ":"))
        if len(policies) > POLICIES_CHARACTERS:
            yield f"{where} has more policies than IAM takes"


def partitions(deployment: Deployment) -> Iterator[str]:
    """ARNs of another partition than the deployment's."""
    ours = deployment.configuration.facts()["deployment_partition"]
    for stack, text in deployment.texts.items():
        for arn in re.findall(rf"arn:(?!{ours}:)\w[^\s\"']*", text):
            yield f"{stack} has {arn}"


def outputs(deployment: Deployment) -> Iterator[str]:
    """Outputs of the original that are not there."""
    (gateway,) = (name for name in deployment.templates if name.endswith("Stack"))
    # What Kubernetes has not made yet has no address.
    balancer = deployment.configuration.facts()["__gateway_balancer"]
    wanted = OUTPUTS if balancer else OUTPUTS - {"FrontApiEndpoint"}
    for name in sorted(wanted - deployment.templates[gateway]["Outputs"].keys()):
        yield f"{gateway} has no output {name}"


def policies(deployment: Deployment) -> Iterator[str]:
    """Policies that allow more than a named action about a named resource."""
    for where, resource in deployment.of_type(""):
        for policy in documents(resource["Properties"]):
            loose = loose_actions(policy["Statement"]) + open_statements(policy["Statement"])
            yield from (f"{where} allows {each}" for each in loose)


def queues(deployment: Deployment) -> Iterator[str]:
    """Queues and topics that answer without TLS, or lose what nobody could do."""
    for kind in ("SQS::Queue", "SNS::Topic"):
        closed = {
            f"{where.partition('/')[0]}/{each['Ref']}"
            for where, policy in deployment.of_type(f"::{kind}Policy")
            for each in policy["Properties"][f"{kind[5:]}s"]
            if "aws:SecureTransport" in json.dumps(policy)
        }
        for where, _ in deployment.of_type(f"::{kind}"):
            if where not in closed:
                yield f"{where} has no policy that wants TLS"
    for where, queue in deployment.of_type("::SQS::Queue"):
        if where.endswith("/Queue") and "RedrivePolicy" not in queue["Properties"]:
            yield f"{where} has no dead-letter queue"


def topics(deployment: Deployment) -> Iterator[str]:
    """Topics without the key or the tracing that are wanted."""
    variables = deployment.configuration.variables
    key = variables.get("cluster_topic_kms_key", "alias/aws/sns") or None
    traced = variables.get("cluster_topic_tracing", True)
    for where, topic in deployment.of_type("::SNS::Topic"):
        if topic["Properties"].get("KmsMasterKeyId") != key:
            yield f"{where} has another key than {key}"
        if (topic["Properties"]["TracingConfig"] == "Active") != traced:
            yield f"{where} is traced, or not, against what is wanted"
    if len(deployment.properties("::XRay::ResourcePolicy")) != traced:
        yield "X-Ray does not take segments of topics"


def methods(deployment: Deployment) -> Iterator[str]:
    """Routes without a key, or with one for a browser's question, and answers held back."""
    variables = deployment.configuration.variables
    streams = variables.get("gateway_streams", True)
    preflight = variables.get("gateway_preflight", False)
    routes: dict[str, set[str]] = {}
    for where, each in deployment.of_type("::ApiGateway::Method"):
        method, integration = each["Properties"], each["Properties"]["Integration"]
        routes.setdefault(method["ResourceId"]["Ref"], set()).add(method["HttpMethod"])
        if method["ApiKeyRequired"] != (method["HttpMethod"] != "OPTIONS"):
            yield f"{where} wants a key, or not, against what it is for"
        if (integration.get("ResponseTransferMode") == "STREAM") != streams:
            yield f"{where} streams, or not, against what is wanted"
        if integration["TimeoutInMillis"] > (900_000 if streams else 29_000):
            yield f"{where} waits longer than API Gateway does"
    for path, allowed in routes.items():
        if ("OPTIONS" in allowed) != preflight:
            yield f"a browser may ask about {path}, or not, against what is wanted"


def add_ons(deployment: Deployment) -> Iterator[str]:
    """Add-ons that are missing or come at another time."""
    wanted = {(name, first) for first, names in ADDONS.items() for name in names}
    found = {
        (each["Properties"]["AddonName"], each.get("DependsOn"))
        for _, each in deployment.of_type("::EKS::Addon")
    }
    yield from (f"{name} comes after {first}, or not" for name, first in wanted ^ found)


def identities(deployment: Deployment) -> Iterator[str]:
    """Service accounts whose role is missing, or is one that does not trust them."""
    runtimes = deployment.configuration.facts()["deployment"]["runtimes"]
    wanted = {f"{each['namespace']}/queue-agent-{each['name']}" for each in runtimes}
    wanted |= {f"{namespace}/{name}" for namespace, names in PODS.items() for name in names}
    associated = set()
    for where, each in deployment.of_type("::EKS::PodIdentityAssociation"):
        association = each["Properties"]
        pod = f"{association['Namespace']}/{association['ServiceAccount']}"
        associated.add(pod)
        role = association["RoleArn"]["Fn::GetAtt"][0]
        stack = deployment.templates[where.partition("/")[0]]
        trust = stack["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]
        (conditions,) = [statement["Condition"] for statement in trust["Statement"]]
        if "/".join(conditions["StringEquals"].values()) != pod:
            yield f"{where} has a role that does not trust it"
    yield from (f"{pod} has no role, or wants none" for pod in sorted(wanted ^ associated))


def subnets(deployment: Deployment) -> Iterator[str]:
    """A network that lacks a zone, and nodes or a control plane outside of it."""
    facts = deployment.configuration.facts()
    zones = [each["AvailabilityZone"] for each in deployment.properties("::EC2::Subnet")]
    if sorted(zones) != sorted(2 * facts["__network_zones"]):
        yield f"the subnets are in {zones}"
    private, public = (facts[f"network_{kind}_subnet_ids"] for kind in ("private", "public"))
    for cluster in deployment.properties("::EKS::Cluster"):
        if cluster["ResourcesVpcConfig"]["SubnetIds"] != private + public:
            yield "the control plane is not in every subnet"
    for nodes in deployment.properties("::EKS::Nodegroup"):
        if nodes["Subnets"] != private:
            yield "the nodes are not in the private subnets"


def order(deployment: Deployment) -> Iterator[str]:
    """Resources that would be made before what they need and do not refer to."""
    served = {
        where.rpartition("/")[2]
        for kind in ("Method", "GatewayResponse")
        for where, _ in deployment.of_type(f"::ApiGateway::{kind}")
    }
    first = {"VpcCniAddon", "KubeProxyAddon", "EksPodIdentityAgentAddon"}
    needed = {
        "::ApiGateway::Deployment": served,
        "::EC2::EIP": {"InternetGatewayAttachment"},
        "::EC2::NatGateway": {"PublicRoute"},
        "::EKS::Nodegroup": first,
        "::SNS::Subscription": {"QueuePolicy"},
    }
    for of, before in needed.items():
        for where, each in deployment.of_type(of):
            if missing := before - set(listed(each.get("DependsOn"))):
                yield f"{where} does not wait for {', '.join(sorted(missing))}"
    for where, route in deployment.of_type("::EC2::Route"):
        outward = "GatewayId" in route["Properties"]
        if outward and route.get("DependsOn") != "InternetGatewayAttachment":
            yield f"{where} does not wait for the gateway that it leads to"


CHECKS: tuple[Callable[[Deployment], Iterator[str]], ...] = (
    sizes,
    partitions,
    outputs,
    policies,
    queues,
    topics,
    methods,
    add_ons,
    identities,
    subnets,
    order,
)
