"""What a stack has in its VPC: how it is found, and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.stack import Found, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


def vpcs(stack: Stack) -> Iterator[Found]:
    """Find the VPC."""
    for vpc in stack.pages("ec2", "describe_vpcs", "Vpcs"):
        if stack.has(vpc.get("Tags")):
            yield vpc["VpcId"], stack.name


def in_vpc(
    call: str, key: str, id_key: str, *, besides: Callable[[Any], bool] = lambda _: False
) -> Callable[[Stack], Iterator[Found]]:
    """A finder of what EC2 lists in our VPC, whoever made it."""

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


def is_main(table: Any) -> bool:
    """Whether a route table is the one that a VPC always has."""
    return any(association.get("Main") for association in table.get("Associations", []))
