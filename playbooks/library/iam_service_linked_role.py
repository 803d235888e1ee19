#!/usr/bin/python
"""The role that an AWS service makes for itself in an account.

An account has it once: a stack fails where it is there, and no collection makes it.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: iam_service_linked_role
short_description: Make the role of an AWS service
description:
  - Makes the service-linked role if the account has none of that service.
author: [Darkroom]
options:
  service:
    description: Name of the service, as C(spot.amazonaws.com).
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Let EC2 start Spot instances
  iam_service_linked_role:
    service: spot.amazonaws.com
"""

RETURN = r"""
role_arn:
  description: ARN of the role; empty in check mode if it is not there yet.
  returned: always
  type: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from botocore.exceptions import BotoCoreError, ClientError


def find(client, service):
    """The ARN of the service's role, or an empty string."""
    pages = client.get_paginator("list_roles")
    for page in pages.paginate(PathPrefix=f"/aws-service-role/{service}/"):
        for role in page["Roles"]:
            return role["Arn"]
    return ""


def main():
    """Run as a module."""
    spec = {"service": {"type": "str", "required": True}}
    module = AnsibleAWSModule(argument_spec=spec, supports_check_mode=True)
    client = module.client("iam", retry_decorator=AWSRetry.jittered_backoff())
    service = module.params["service"]
    try:
        arn = find(client, service)
        changed = not arn
        if changed and not module.check_mode:
            arn = client.create_service_linked_role(AWSServiceName=service)["Role"]["Arn"]
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"service-linked role of {service}")
    after = f"role of {service}\n"
    diff = {"before": "" if changed else after, "after": after}
    module.exit_json(changed=changed, role_arn=arn, diff=diff)


if __name__ == "__main__":
    main()
