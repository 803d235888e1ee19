"""What a stack is made of on AWS: how each kind is found by names and tags, and removed.

Kinds stand in the order in which they can be removed. A finder yields (id, name) of what is
ours, also while it is being removed; nothing here keeps state, so that a removal that was
interrupted can be run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TAG = "darkroom/stack"
Found = tuple[str, str]


class Stack:
    """A stack's name, where it is, and clients of AWS."""

    def __init__(self, name: str, *, region: str, client: Callable[[str], Any]) -> None:
        self.name, self.region, self._make = name, region, client
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Give the one client of a service."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def pages(self, service: str, call: str, key: str, **request: Any) -> Iterator[Any]:
        """Give all items of a paged call."""
        paginator = self.client(service).get_paginator(call)
        for page in paginator.paginate(**request):
            yield from page.get(key) or []

    def has(self, tags: Any) -> bool:
        """Tell whether tags, in either form of AWS, are of this stack."""
        if isinstance(tags, dict):
            return tags.get(TAG) == self.name
        return any(
            tag.get("Key", tag.get("key")) == TAG
            and tag.get("Value", tag.get("value")) == self.name
            for tag in tags or []
        )


@dataclass(frozen=True)
class Kind:
    """One kind of resource."""

    title: str
    call: str  # the call of AWS that lists it, to be left out where an emulator lacks it
    find: Callable[[Stack], Iterator[Found]]
    remove: Callable[[Stack, str], Any]
    holds_data: bool = False  # kept unless asked for


def api_gateway(call: str, key: str = "items") -> Callable[[Stack], Iterator[Found]]:
    """Give a finder of what API Gateway lists with its tags."""

    def find(stack: Stack) -> Iterator[Found]:
        for item in stack.pages("apigateway", call, key):
            if stack.has(item.get("tags", {})) or item.get("name") == stack.name:
                yield item["id"], item.get("name", "")

    return find


def remove_usage_plan(stack: Stack, plan: str) -> None:
    """Remove a usage plan, which must have no stage any more."""
    client = stack.client("apigateway")
    for stage in client.get_usage_plan(usagePlanId=plan).get("apiStages", []):
        client.update_usage_plan(
            usagePlanId=plan,
            patchOperations=[
                {
                    "op": "remove",
                    "path": "/apiStages",
                    "value": f"{stage['apiId']}:{stage['stage']}",
                }
            ],
        )
    client.delete_usage_plan(usagePlanId=plan)


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


def balancers(stack: Stack) -> Iterator[Found]:
    """Find load balancers in our VPC, which controllers in the cluster have made."""
    ours = {vpc for vpc, _ in vpcs(stack)}
    for each in stack.pages("elbv2", "describe_load_balancers", "LoadBalancers"):
        if each.get("VpcId") in ours:
            yield each["LoadBalancerArn"], each["LoadBalancerName"]


def target_groups(stack: Stack) -> Iterator[Found]:
    """Find target groups in our VPC."""
    ours = {vpc for vpc, _ in vpcs(stack)}
    for each in stack.pages("elbv2", "describe_target_groups", "TargetGroups"):
        if each.get("VpcId") in ours:
            yield each["TargetGroupArn"], each["TargetGroupName"]


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


def rules(stack: Stack) -> Iterator[Found]:
    """Find rules of EventBridge."""
    client = stack.client("events")
    listed = stack.pages("events", "list_rules", "Rules", NamePrefix=f"{stack.name}-")
    for rule in listed:
        if stack.has(client.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]):
            yield rule["Name"], rule["Name"]


def remove_rule(stack: Stack, name: str) -> None:
    """Remove a rule, which must have no target any more."""
    client = stack.client("events")
    targets = [target["Id"] for target in client.list_targets_by_rule(Rule=name)["Targets"]]
    if targets:
        client.remove_targets(Rule=name, Ids=targets)
    client.delete_rule(Name=name)


def alarms(stack: Stack) -> Iterator[Found]:
    """Find alarms."""
    client = stack.client("cloudwatch")
    prefix = f"{stack.name}/"
    listed = stack.pages(
        "cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix
    )
    for alarm in listed:
        if stack.has(client.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]):
            yield alarm["AlarmName"], alarm["AlarmName"]


def dashboards(stack: Stack) -> Iterator[Found]:
    """Find the dashboard, which cannot have tags."""
    names = {stack.name, f"{stack.name}-{stack.region}"}
    for each in stack.pages("cloudwatch", "list_dashboards", "DashboardEntries"):
        if each["DashboardName"] in names:
            yield each["DashboardName"], each["DashboardName"]


def log_groups(stack: Stack) -> Iterator[Found]:
    """Find the log groups of the cluster and the services."""
    for root in ("/aws/eks", "/aws/containerinsights", "/darkroom"):
        prefix = f"{root}/{stack.name}/"
        for each in stack.pages(
            "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix
        ):
            yield each["logGroupName"], each["logGroupName"]


def secrets(stack: Stack) -> Iterator[Found]:
    """Find secrets."""
    for each in stack.pages("secretsmanager", "list_secrets", "SecretList"):
        if each["Name"].startswith(f"{stack.name}/") and "DeletedDate" not in each:
            yield each["ARN"], each["Name"]


def iam_roles(stack: Stack) -> Iterator[Found]:
    """Find roles, whose names have stack and region."""
    for role in stack.pages("iam", "list_roles", "Roles"):
        if role["RoleName"].startswith(f"{stack.name}-{stack.region}-"):
            yield role["RoleName"], role["RoleName"]


def remove_role(stack: Stack, name: str) -> None:
    """Remove a role with what hangs on it."""
    client = stack.client("iam")
    attached = client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    for policy in attached:
        client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
        client.delete_role_policy(RoleName=name, PolicyName=policy)
    for profile in client.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]:
        client.remove_role_from_instance_profile(
            RoleName=name, InstanceProfileName=profile["InstanceProfileName"]
        )
    client.delete_role(RoleName=name)


def instance_profiles(stack: Stack) -> Iterator[Found]:
    """Find instance profiles, those too that Karpenter makes for the cluster."""
    prefix = f"{stack.name}-{stack.region}-"
    for each in stack.pages("iam", "list_instance_profiles", "InstanceProfiles"):
        name = each["InstanceProfileName"]
        if name.startswith(prefix) or (
            name.startswith(f"{stack.name}_")
            and any(role["RoleName"].startswith(prefix) for role in each["Roles"])
        ):
            yield name, name


def remove_instance_profile(stack: Stack, name: str) -> None:
    """Remove an instance profile, which must have no role any more."""
    client = stack.client("iam")
    profile = client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    for role in profile["Roles"]:
        client.remove_role_from_instance_profile(
            InstanceProfileName=name, RoleName=role["RoleName"]
        )
    client.delete_instance_profile(InstanceProfileName=name)


def iam_policies(stack: Stack) -> Iterator[Found]:
    """Find policies of ours."""
    for policy in stack.pages("iam", "list_policies", "Policies", Scope="Local"):
        if policy["PolicyName"].startswith(f"{stack.name}-{stack.region}-"):
            yield policy["Arn"], policy["PolicyName"]


def identity_providers(stack: Stack) -> Iterator[Found]:
    """Find the cluster's identity provider, if one was made."""
    client = stack.client("iam")
    for each in client.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        arn = each["Arn"]
        if stack.has(
            client.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
        ):
            yield arn, arn


def trace_policies(stack: Stack) -> Iterator[Found]:
    """Find the policy by which topics send segments."""
    for each in stack.pages("xray", "list_resource_policies", "ResourcePolicies"):
        if each["PolicyName"] == f"{stack.name}-{stack.region}-topics":
            yield each["PolicyName"], each["PolicyName"]


def topics(stack: Stack) -> Iterator[Found]:
    """Find topics; their subscriptions go with them."""
    client = stack.client("sns")
    for topic in stack.pages("sns", "list_topics", "Topics"):
        arn = topic["TopicArn"]
        name = arn.rpartition(":")[2]
        if not name.startswith(stack.name):
            continue
        if stack.has(client.list_tags_for_resource(ResourceArn=arn)["Tags"]):
            yield arn, name


def queues(stack: Stack) -> Iterator[Found]:
    """Find queues, those of dead letters too."""
    client = stack.client("sqs")
    for url in stack.pages("sqs", "list_queues", "QueueUrls", QueueNamePrefix=stack.name):
        try:
            tags = client.list_queue_tags(QueueUrl=url).get("Tags", {})
        except client.exceptions.QueueDoesNotExist:
            continue  # a queue is listed for a while after it was removed
        if stack.has(tags):
            yield url, url.rpartition("/")[2]


def repositories(stack: Stack) -> Iterator[Found]:
    """Find repositories of images and charts."""
    for each in stack.pages("ecr", "describe_repositories", "repositories"):
        name = each["repositoryName"]
        if name.startswith(f"{stack.name}/"):
            yield name, name


def tables(stack: Stack) -> Iterator[Found]:
    """Find the table of tasks."""
    for name in stack.pages("dynamodb", "list_tables", "TableNames"):
        if name == f"{stack.name}-ledger":
            yield name, name


def buckets(stack: Stack) -> Iterator[Found]:
    """Find buckets that the playbooks have made; a bucket of models may be somebody's."""
    client = stack.client("s3")
    for each in client.list_buckets()["Buckets"]:
        try:
            tags = client.get_bucket_tagging(Bucket=each["Name"])["TagSet"]
        except client.exceptions.ClientError:
            continue  # without tags, or not ours to read
        if stack.has(tags):
            yield each["Name"], each["Name"]


def remove_bucket(stack: Stack, name: str) -> None:
    """Remove a bucket with all objects and their versions."""
    client = stack.client("s3")
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
        keys = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in versions]
        if keys:
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
    client.delete_bucket(Bucket=name)


def vpcs(stack: Stack) -> Iterator[Found]:
    """Find the VPC."""
    for vpc in stack.pages("ec2", "describe_vpcs", "Vpcs"):
        if stack.has(vpc.get("Tags")):
            yield vpc["VpcId"], stack.name


def in_vpc(
    call: str, key: str, id_key: str, *, besides: Callable[[Any], bool] = lambda _: False
) -> Callable[[Stack], Iterator[Found]]:
    """Give a finder of what EC2 lists in our VPC, whoever made it."""

    def find(stack: Stack) -> Iterator[Found]:
        for vpc, _ in vpcs(stack):
            for each in stack.pages("ec2", call, key):
                attached = [a.get("VpcId") for a in each.get("Attachments", [])]
                if vpc in [each.get("VpcId"), *attached] and not besides(each):
                    tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
                    yield each[id_key], tags.get("Name", "")

    return find


def addresses(stack: Stack) -> Iterator[Found]:
    """Find the elastic IPs of the NAT gateways."""
    for each in stack.client("ec2").describe_addresses()["Addresses"]:
        if stack.has(each.get("Tags")):
            yield each["AllocationId"], each["PublicIp"]


def remove_internet_gateway(stack: Stack, gateway: str) -> None:
    """Take an internet gateway off its VPC, and remove it."""
    client = stack.client("ec2")
    for vpc, _ in vpcs(stack):
        client.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    client.delete_internet_gateway(InternetGatewayId=gateway)


def remove_route_table(stack: Stack, table: str) -> None:
    """Remove a route table, which must have no subnet any more."""
    client = stack.client("ec2")
    described = client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    for association in described[0]["Associations"]:
        client.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    client.delete_route_table(RouteTableId=table)


def remove_security_group(stack: Stack, group: str) -> None:
    """Remove a security group, after its rules that may name other groups."""
    client = stack.client("ec2")
    found = client.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    if found.get("IpPermissions"):
        client.revoke_security_group_ingress(
            GroupId=group, IpPermissions=found["IpPermissions"]
        )
    client.delete_security_group(GroupId=group)


def by(service: str, call: str, parameter: str, **more: Any) -> Callable[[Stack, str], Any]:
    """Give a removal that is one call with one id."""

    def remove(stack: Stack, identifier: str) -> Any:
        return getattr(stack.client(service), call)(**{parameter: identifier}, **more)

    return remove


def is_main(table: Any) -> bool:
    """Tell whether a route table is the one that a VPC always has."""
    return any(association.get("Main") for association in table.get("Associations", []))


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
