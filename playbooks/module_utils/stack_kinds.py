"""What a stack is made of on AWS: how each kind is found by names and tags, and removed.

Kinds stand in the order in which they can be removed. A finder yields (id, name) of what is
ours, also while it is being removed; nothing here keeps state, so that a removal that was
interrupted can be run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.stack import Found, Kind, Stack, by
from ansible.module_utils.stack_network import (
    addresses,
    balancers,
    in_vpc,
    is_main,
    remove_internet_gateway,
    remove_route_table,
    remove_security_group,
    target_groups,
    vpcs,
)
from ansible.module_utils.stack_roles import (
    iam_policies,
    iam_roles,
    identity_providers,
    instance_profiles,
    remove_instance_profile,
    remove_role,
)
from ansible.module_utils.stack_services import (
    alarms,
    api_gateway,
    buckets,
    dashboards,
    log_groups,
    queues,
    remove_bucket,
    remove_rule,
    remove_usage_plan,
    repositories,
    rules,
    secrets,
    tables,
    topics,
    trace_policies,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def clusters(stack: Stack) -> Iterator[Found]:
    """Find the cluster."""
    for name in stack.pages("eks", "list_clusters", "clusters"):
        if name == stack.name:
            yield name, name


def node_groups(stack: Stack) -> Iterator[Found]:
    """Find the cluster's node groups."""
    for cluster, _ in clusters(stack):
        for name in stack.pages("eks", "list_nodegroups", "nodegroups", clusterName=cluster):
            yield name, name


def instances(stack: Stack) -> Iterator[Found]:
    """Find instances of ours, and those that Karpenter has started for the cluster."""
    for reservation in stack.pages("ec2", "describe_instances", "Reservations"):
        for instance in reservation["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
            ours = stack.has(tags) or f"kubernetes.io/cluster/{stack.name}" in tags
            if ours and instance["State"]["Name"] != "terminated":
                yield instance["InstanceId"], tags.get("Name", "")


def launch_templates(stack: Stack) -> Iterator[Found]:
    """Find launch templates."""
    templates = stack.pages("ec2", "describe_launch_templates", "LaunchTemplates")
    for each in templates:
        if stack.has(each.get("Tags")) or _of_cluster(stack, each.get("Tags")):
            yield each["LaunchTemplateId"], each["LaunchTemplateName"]


def _of_cluster(stack: Stack, tags: Any) -> bool:
    return any(tag["Key"] == f"kubernetes.io/cluster/{stack.name}" for tag in tags or [])


def snapshots(stack: Stack) -> Iterator[Found]:
    """Find snapshots of volumes with images."""
    for each in stack.pages("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"]):
        if stack.has(each.get("Tags")):
            yield each["SnapshotId"], each.get("Description", "")


def volumes(stack: Stack) -> Iterator[Found]:
    """Find volumes that an instance has left behind."""
    for each in stack.pages("ec2", "describe_volumes", "Volumes"):
        if each["State"] == "available" and stack.has(each.get("Tags")):
            yield each["VolumeId"], each["VolumeId"]


KINDS = (
    # A link keeps its load balancer, an API its link.
    Kind(
        "usage plan",
        "apigateway:GetUsagePlans",
        api_gateway("get_usage_plans"),
        remove_usage_plan,
    ),
    Kind(
        "API",
        "apigateway:GetRestApis",
        api_gateway("get_rest_apis"),
        by("apigateway", "delete_rest_api", "restApiId"),
    ),
    Kind(
        "API key",
        "apigateway:GetApiKeys",
        api_gateway("get_api_keys"),
        by("apigateway", "delete_api_key", "apiKey"),
    ),
    Kind(
        "VPC link",
        "apigateway:GetVpcLinks",
        api_gateway("get_vpc_links"),
        by("apigateway", "delete_vpc_link", "vpcLinkId"),
    ),
    Kind(
        "load balancer",
        "elasticloadbalancing:DescribeLoadBalancers",
        balancers,
        by("elbv2", "delete_load_balancer", "LoadBalancerArn"),
    ),
    Kind(
        "target group",
        "elasticloadbalancing:DescribeTargetGroups",
        target_groups,
        by("elbv2", "delete_target_group", "TargetGroupArn"),
    ),
    # Rules first: without the cluster nobody reads what they send.
    Kind("rule", "events:ListRules", rules, remove_rule),
    Kind(
        "node group",
        "eks:ListNodegroups",
        node_groups,
        lambda stack, name: stack.client("eks").delete_nodegroup(
            clusterName=stack.name, nodegroupName=name
        ),
    ),
    # Karpenter, which runs on the node group, would start others.
    Kind(
        "instance",
        "ec2:DescribeInstances",
        instances,
        lambda stack, one: stack.client("ec2").terminate_instances(InstanceIds=[one]),
    ),
    Kind("cluster", "eks:ListClusters", clusters, by("eks", "delete_cluster", "name")),
    Kind(
        "launch template",
        "ec2:DescribeLaunchTemplates",
        launch_templates,
        by("ec2", "delete_launch_template", "LaunchTemplateId"),
    ),
    Kind(
        "snapshot",
        "ec2:DescribeSnapshots",
        snapshots,
        by("ec2", "delete_snapshot", "SnapshotId"),
    ),
    Kind("volume", "ec2:DescribeVolumes", volumes, by("ec2", "delete_volume", "VolumeId")),
    Kind(
        "alarm",
        "cloudwatch:DescribeAlarms",
        alarms,
        lambda stack, name: stack.client("cloudwatch").delete_alarms(AlarmNames=[name]),
    ),
    Kind(
        "dashboard",
        "cloudwatch:ListDashboards",
        dashboards,
        lambda stack, name: stack.client("cloudwatch").delete_dashboards(DashboardNames=[name]),
    ),
    Kind(
        "log group",
        "logs:DescribeLogGroups",
        log_groups,
        by("logs", "delete_log_group", "logGroupName"),
    ),
    Kind(
        "secret",
        "secretsmanager:ListSecrets",
        secrets,
        by("secretsmanager", "delete_secret", "SecretId", ForceDeleteWithoutRecovery=True),
    ),
    Kind(
        "instance profile",
        "iam:ListInstanceProfiles",
        instance_profiles,
        remove_instance_profile,
    ),
    Kind("role", "iam:ListRoles", iam_roles, remove_role),
    Kind("policy", "iam:ListPolicies", iam_policies, by("iam", "delete_policy", "PolicyArn")),
    Kind(
        "identity provider",
        "iam:ListOpenIDConnectProviders",
        identity_providers,
        by("iam", "delete_open_id_connect_provider", "OpenIDConnectProviderArn"),
    ),
    Kind(
        "X-Ray policy",
        "xray:ListResourcePolicies",
        trace_policies,
        by("xray", "delete_resource_policy", "PolicyName"),
    ),
    Kind("topic", "sns:ListTopics", topics, by("sns", "delete_topic", "TopicArn")),
    Kind("queue", "sqs:ListQueues", queues, by("sqs", "delete_queue", "QueueUrl")),
    Kind(
        "repository",
        "ecr:DescribeRepositories",
        repositories,
        by("ecr", "delete_repository", "repositoryName", force=True),
    ),
    Kind(
        "VPC endpoint",
        "ec2:DescribeVpcEndpoints",
        in_vpc("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
        lambda stack, one: stack.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[one]),
    ),
    Kind(
        "NAT gateway",
        "ec2:DescribeNatGateways",
        in_vpc(
            "describe_nat_gateways",
            "NatGateways",
            "NatGatewayId",
            besides=lambda each: each["State"] in ("deleted", "failed"),
        ),
        by("ec2", "delete_nat_gateway", "NatGatewayId"),
    ),
    Kind(
        "elastic IP",
        "ec2:DescribeAddresses",
        addresses,
        by("ec2", "release_address", "AllocationId"),
    ),
    Kind(
        "internet gateway",
        "ec2:DescribeInternetGateways",
        in_vpc("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
        remove_internet_gateway,
    ),
    Kind(
        "network interface",
        "ec2:DescribeNetworkInterfaces",
        in_vpc(
            "describe_network_interfaces",
            "NetworkInterfaces",
            "NetworkInterfaceId",
            # What a service of AWS has, it takes away itself.
            besides=lambda each: each.get("RequesterManaged", False),
        ),
        by("ec2", "delete_network_interface", "NetworkInterfaceId"),
    ),
    Kind(
        "subnet",
        "ec2:DescribeSubnets",
        in_vpc("describe_subnets", "Subnets", "SubnetId"),
        by("ec2", "delete_subnet", "SubnetId"),
    ),
    Kind(
        "route table",
        "ec2:DescribeRouteTables",
        in_vpc("describe_route_tables", "RouteTables", "RouteTableId", besides=is_main),
        remove_route_table,
    ),
    Kind(
        "security group",
        "ec2:DescribeSecurityGroups",
        in_vpc(
            "describe_security_groups",
            "SecurityGroups",
            "GroupId",
            besides=lambda each: each["GroupName"] == "default",
        ),
        remove_security_group,
    ),
    Kind("VPC", "ec2:DescribeVpcs", vpcs, by("ec2", "delete_vpc", "VpcId")),
    Kind(
        "table",
        "dynamodb:ListTables",
        tables,
        by("dynamodb", "delete_table", "TableName"),
        holds_data=True,
    ),
    Kind("bucket", "s3:ListAllMyBuckets", buckets, remove_bucket, holds_data=True),
)
