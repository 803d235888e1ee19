#!/usr/bin/python
"""Where calls of AWS go: account, partition, region.

The collection's aws_caller_info tells no region, and not the host names of a partition.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: aws_target_info
short_description: Tell the account, partition and region that calls of AWS go to
description:
  - Asks STS for the account; partition and names of hosts follow from the region.
author: [Darkroom]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Find out where we are
  aws_target_info:
"""

RETURN = r"""
account:
  description: Id of the account.
  returned: always
  type: str
arn:
  description: Who calls.
  returned: always
  type: str
partition:
  description: C(aws), C(aws-cn) or C(aws-us-gov).
  returned: always
  type: str
region:
  description: The region.
  returned: always
  type: str
dns_suffix:
  description: What the names of the region's hosts end in, as C(amazonaws.com).
  returned: always
  type: str
"""

import botocore.session
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from botocore.exceptions import BotoCoreError, ClientError


def main():
    """Run as a module."""
    module = AnsibleAWSModule(argument_spec={}, supports_check_mode=True)
    if not module.region:
        module.fail_json(
            msg="no region: give -e region=..., or set AWS_REGION or the AWS profile's"
        )
    try:
        sts = module.client("sts", retry_decorator=AWSRetry.jittered_backoff())
        caller = sts.get_caller_identity(aws_retry=True)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="AWS does not say who we are")
    endpoints = botocore.session.get_session().get_component("endpoint_resolver")
    module.exit_json(
        changed=False,
        account=caller["Account"],
        arn=caller["Arn"],
        partition=sts.meta.partition,
        region=sts.meta.region_name,
        dns_suffix=endpoints.get_partition_dns_suffix(sts.meta.partition),
    )


if __name__ == "__main__":
    main()
