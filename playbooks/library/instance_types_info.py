#!/usr/bin/python
"""What instance types have, and in which zones they can be had.

A question, which no collection asks EC2.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: instance_types_info
short_description: Tell vCPUs and zones of instance types
description:
  - Unknown types are left out, so that all of them can be told at once.
author: [Darkroom]
options:
  names:
    description: Instance types.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Look up two types
  instance_types_info:
    names: [g5.xlarge, g5.2xlarge]
"""

RETURN = r"""
vcpus:
  description: Number of vCPUs of each type that AWS knows.
  returned: always
  type: dict
zones:
  description: Zones of this region in which each type is offered.
  returned: always
  type: dict
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from botocore.exceptions import BotoCoreError, ClientError


def main():
    """Run as a module."""
    spec = {"names": {"type": "list", "elements": "str", "required": True}}
    module = AnsibleAWSModule(argument_spec=spec, supports_check_mode=True)
    client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff())
    # A filter, for a name in the parameter that AWS does not know is an error.
    chosen = [{"Name": "instance-type", "Values": module.params["names"]}]
    vcpus, zones = {}, {}
    try:
        for page in client.get_paginator("describe_instance_types").paginate(Filters=chosen):
            for known in page["InstanceTypes"]:
                vcpus[known["InstanceType"]] = known["VCpuInfo"]["DefaultVCpus"]
        offerings = client.get_paginator("describe_instance_type_offerings")
        for page in offerings.paginate(LocationType="availability-zone", Filters=chosen):
            for offer in page["InstanceTypeOfferings"]:
                zones.setdefault(offer["InstanceType"], []).append(offer["Location"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="instance types")
    module.exit_json(changed=False, vcpus=vcpus, zones={k: sorted(v) for k, v in zones.items()})


if __name__ == "__main__":
    main()
