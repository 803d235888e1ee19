#!/usr/bin/python
"""NAT gateways, one for each subnet, with addresses that have tags too."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_nat_gateways
short_description: Make a public NAT gateway in each of some subnets
description:
  - Makes those that are missing, with an elastic IP each, and waits until they work. An address
    that an interrupted run has left is used again, found by its tags.
author: [Darkroom]
options:
  subnet_ids:
    description: The public subnets.
    type: list
    elements: str
    required: true
  name:
    description: Begins the tag C(Name) of gateways and addresses; the subnet's id follows.
    type: str
    required: true
  tags:
    description: More tags of gateways and addresses.
    type: dict
    default: {}
  wait_seconds:
    description: How long to wait for them.
    type: int
    default: 600
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a NAT gateway
  ec2_nat_gateways:
    subnet_ids: [subnet-0123456789abcdef0]
    name: sdoneks
"""

RETURN = r"""
gateway_ids:
  description: Id of the gateway of each subnet, in their order; empty where a check finds none.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.attributes import missing_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from botocore.exceptions import BotoCoreError, ClientError

POLL_SECONDS = 5


def find(client, subnets):
    """The gateways that work or will, by subnet."""
    pages = client.get_paginator("describe_nat_gateways").paginate()
    return {
        gateway["SubnetId"]: gateway
        for page in pages
        for gateway in page["NatGateways"]
        if gateway["SubnetId"] in subnets and gateway["State"] in ("pending", "available")
    }


def address(client, tags):
    """An address with these tags that nothing uses, allocated if there is none."""
    for known in client.describe_addresses(aws_retry=True)["Addresses"]:
        current = boto3_tag_list_to_ansible_dict(known.get("Tags", []))
        if not missing_tags(current, tags) and "AssociationId" not in known:
            return known["AllocationId"]
    specified = specifications("elastic-ip", tags)
    return client.allocate_address(Domain="vpc", TagSpecifications=specified)["AllocationId"]


def specifications(kind, tags):
    """Tags as EC2 takes them when it makes something."""
    return [{"ResourceType": kind, "Tags": ansible_dict_to_boto3_tag_list(tags)}]


def make(client, subnet, tags):
    """Make one gateway, and give its id."""
    answer = client.create_nat_gateway(
        SubnetId=subnet,
        AllocationId=address(client, tags),
        TagSpecifications=specifications("natgateway", tags),
    )
    return answer["NatGateway"]["NatGatewayId"]


def settle(client, params, *, check_mode):
    """Make what is missing; gives ids and what differed."""
    found = find(client, params["subnet_ids"])
    ids, changes = [], []
    for subnet in params["subnet_ids"]:
        tags = params["tags"] | {"Name": f"{params['name']}-{subnet}"}
        gateway = found.get(subnet)
        if gateway is None:
            changes.append(f"NAT gateway in {subnet}")
            ids.append("" if check_mode else make(client, subnet, tags))
            continue
        ids.append(gateway["NatGatewayId"])
        missing = missing_tags(boto3_tag_list_to_ansible_dict(gateway.get("Tags", [])), tags)
        if missing:
            changes.append(f"tags of {ids[-1]}")
        if missing and not check_mode:
            new_tags = ansible_dict_to_boto3_tag_list(missing)
            client.create_tags(Resources=[ids[-1]], Tags=new_tags, aws_retry=True)
    if not check_mode and ids:
        attempts = 1 + params["wait_seconds"] // POLL_SECONDS
        client.get_waiter("nat_gateway_available").wait(
            NatGatewayIds=ids,
            WaiterConfig={"Delay": POLL_SECONDS, "MaxAttempts": attempts},
        )
    return ids, changes


def main():
    """Run as a module."""
    module = AnsibleAWSModule(
        argument_spec={
            "subnet_ids": {"type": "list", "elements": "str", "required": True},
            "name": {"type": "str", "required": True},
            "tags": {"type": "dict", "default": {}},
            "wait_seconds": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff())
    try:
        ids, changes = settle(client, module.params, check_mode=module.check_mode)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="NAT gateways")
    diff = {"before": "", "after": "".join(f"{each}\n" for each in changes)}
    module.exit_json(changed=bool(changes), gateway_ids=ids, diff=diff)


if __name__ == "__main__":
    main()
