"""What a deployment has beside its CloudFormation stacks: how each kind is found, and removed.

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


class Account:
    """The name of a deployment, where it is, and clients of AWS."""

    def __init__(self, stack: str, *, region: str, client: Callable[[str], Any]) -> None:
        self.stack, self.region, self._make = stack, region, client
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The one client of a service."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def pages(self, service: str, call: str, key: str, **request: Any) -> Iterator[Any]:
        """All items of a paged call."""
        paginator = self.client(service).get_paginator(call)
        for page in paginator.paginate(**request):
            yield from page.get(key) or []

    def has(self, tagged: dict[str, Any]) -> bool:
        """Whether something carries our tag."""
        return _tags(tagged).get(TAG) == self.stack

    def made(self, tagged: dict[str, Any]) -> bool:
        """Whether something carries the tag of what our cluster has made."""
        return f"kubernetes.io/cluster/{self.stack}" in _tags(tagged)


@dataclass(frozen=True)
class Kind:
    """One kind of resource."""

    of: str
    title: str
    find: Callable[[Account], Iterator[Found]]
    remove: Callable[[Account, str], Any]


def _tags(tagged: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tagged.get("Tags") or []}


def _by(service: str, call: str, parameter: str, **more: Any) -> Callable[[Account, str], Any]:
    """A removal that is one call with one id."""

    def remove(account: Account, identifier: str) -> Any:
        return getattr(account.client(service), call)(**{parameter: identifier}, **more)

    return remove


def _vpcs(account: Account) -> set[str]:
    return {
        vpc["VpcId"]
        for vpc in account.pages("ec2", "describe_vpcs", "Vpcs")
        if account.has(vpc)
    }


def _balancing(call: str, key: str, one: str) -> Callable[[Account], Iterator[Found]]:
    """A finder of what the load balancer's controllers have made in our VPC."""

    def find(account: Account) -> Iterator[Found]:
        ours = _vpcs(account)
        for each in account.pages("elbv2", call, key):
            if each.get("VpcId") in ours:
                yield each[f"{one}Arn"], each[f"{one}Name"]

    return find


def _instances(account: Account) -> Iterator[Found]:
    for reservation in account.pages("ec2", "describe_instances", "Reservations"):
        for each in reservation["Instances"]:
            ours = account.has(each) or account.made(each)
            if ours and each["State"]["Name"] != "terminated":
                yield each["InstanceId"], _tags(each).get("Name", "")


def _terminate(account: Account, instance: str) -> None:
    account.client("ec2").terminate_instances(InstanceIds=[instance])


def _launch_templates(account: Account) -> Iterator[Found]:
    for each in account.pages("ec2", "describe_launch_templates", "LaunchTemplates"):
        if account.made(each):
            yield each["LaunchTemplateId"], each["LaunchTemplateName"]


def _instance_profiles(account: Account) -> Iterator[Found]:
    """Those that Karpenter makes for the role of its nodes."""
    role = f"{account.stack}-{account.region}-karpenter-node"
    for each in account.pages("iam", "list_instance_profiles", "InstanceProfiles"):
        if role in [one["RoleName"] for one in each["Roles"]]:
            yield each["InstanceProfileName"], each["InstanceProfileName"]


def _remove_instance_profile(account: Account, name: str) -> None:
    client = account.client("iam")
    profile = client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    for role in profile["Roles"]:
        client.remove_role_from_instance_profile(
            InstanceProfileName=name, RoleName=role["RoleName"]
        )
    client.delete_instance_profile(InstanceProfileName=name)


def _snapshots(account: Account) -> Iterator[Found]:
    for each in account.pages("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"]):
        if account.has(each):
            yield each["SnapshotId"], each.get("Description", "")


def _volumes(account: Account) -> Iterator[Found]:
    for each in account.pages("ec2", "describe_volumes", "Volumes"):
        if each["State"] == "available" and (account.has(each) or account.made(each)):
            yield each["VolumeId"], each["VolumeId"]


def _interfaces(account: Account) -> Iterator[Found]:
    """Those that pods and nodes left; what a service of AWS has, it takes away itself."""
    ours = _vpcs(account)
    for each in account.pages("ec2", "describe_network_interfaces", "NetworkInterfaces"):
        left = each.get("Status") == "available" and not each.get("RequesterManaged", False)
        if each.get("VpcId") in ours and left:
            yield each["NetworkInterfaceId"], each["NetworkInterfaceId"]


def _security_groups(account: Account) -> Iterator[Found]:
    """Those that EKS and the load balancers' controllers left, and not those of a stack."""
    ours = _vpcs(account)
    for each in account.pages("ec2", "describe_security_groups", "SecurityGroups"):
        kept = each["GroupName"] in ("default", f"{account.stack}-image-cache")
        if each.get("VpcId") in ours and not kept:
            yield each["GroupId"], each["GroupName"]


def _remove_security_group(account: Account, group: str) -> None:
    """Remove a security group, after its rules that may name other groups."""
    client = account.client("ec2")
    found = client.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    if found.get("IpPermissions"):
        client.revoke_security_group_ingress(
            GroupId=group, IpPermissions=found["IpPermissions"]
        )
    client.delete_security_group(GroupId=group)


def _log_groups(account: Account) -> Iterator[Found]:
    for root in ("/aws/eks", "/aws/containerinsights", "/darkroom"):
        prefix = f"{root}/{account.stack}/"
        for each in account.pages(
            "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix
        ):
            yield each["logGroupName"], each["logGroupName"]


def _repositories(account: Account) -> Iterator[Found]:
    for each in account.pages("ecr", "describe_repositories", "repositories"):
        if each["repositoryName"].startswith(f"{account.stack}/"):
            yield each["repositoryName"], each["repositoryName"]


def _tables(account: Account) -> Iterator[Found]:
    for name in account.pages("dynamodb", "list_tables", "TableNames"):
        if name == f"{account.stack}-ledger":
            yield name, name


def _buckets(account: Account) -> Iterator[Found]:
    """Those that the playbooks have made; a bucket of models may be somebody's."""
    client = account.client("s3")
    for each in client.list_buckets()["Buckets"]:
        try:
            tags = client.get_bucket_tagging(Bucket=each["Name"])["TagSet"]
        except client.exceptions.ClientError:
            continue  # without tags, or not ours to read
        if account.has({"Tags": tags}):
            yield each["Name"], each["Name"]


def _remove_bucket(account: Account, name: str) -> None:
    """Remove a bucket with all objects and their versions."""
    client = account.client("s3")
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
        keys = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in versions]
        if keys:
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
    client.delete_bucket(Bucket=name)


KINDS = (
    Kind(
        "nodes",
        "load balancer",
        _balancing("describe_load_balancers", "LoadBalancers", "LoadBalancer"),
        _by("elbv2", "delete_load_balancer", "LoadBalancerArn"),
    ),
    Kind(
        "nodes",
        "target group",
        _balancing("describe_target_groups", "TargetGroups", "TargetGroup"),
        _by("elbv2", "delete_target_group", "TargetGroupArn"),
    ),
    Kind("nodes", "instance", _instances, _terminate),
    Kind(
        "nodes",
        "launch template",
        _launch_templates,
        _by("ec2", "delete_launch_template", "LaunchTemplateId"),
    ),
    Kind("nodes", "instance profile", _instance_profiles, _remove_instance_profile),
    Kind("nodes", "snapshot", _snapshots, _by("ec2", "delete_snapshot", "SnapshotId")),
    Kind("nodes", "volume", _volumes, _by("ec2", "delete_volume", "VolumeId")),
    Kind(
        "network",
        "network interface",
        _interfaces,
        _by("ec2", "delete_network_interface", "NetworkInterfaceId"),
    ),
    Kind("network", "security group", _security_groups, _remove_security_group),
    Kind("data", "log group", _log_groups, _by("logs", "delete_log_group", "logGroupName")),
    Kind(
        "data",
        "repository",
        _repositories,
        _by("ecr", "delete_repository", "repositoryName", force=True),
    ),
    Kind("data", "table", _tables, _by("dynamodb", "delete_table", "TableName")),
    Kind("data", "bucket", _buckets, _remove_bucket),
)
