#!/usr/bin/python
"""Service quotas by code, applied or default.

A question, which no collection asks AWS.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_quotas_info
short_description: Tell the values of service quotas
description:
  - Gives the quota of this account, or the default of AWS where nothing else was ever applied.
author: [Darkroom]
options:
  quotas:
    description: Codes of quotas, as C(ec2/L-DB2E81BA).
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Look up how many vCPUs of G instances may run
  service_quotas_info:
    quotas: [ec2/L-DB2E81BA]
"""

RETURN = r"""
values:
  description: Value of each quota by its code.
  returned: always
  type: dict
"""

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from botocore.exceptions import BotoCoreError, ClientError


def value_of(client, service, code):
    """The value that holds here."""
    try:
        answer = client.get_service_quota(ServiceCode=service, QuotaCode=code, aws_retry=True)
    except is_boto3_error_code("NoSuchResourceException"):
        answer = client.get_aws_default_service_quota(
            ServiceCode=service, QuotaCode=code, aws_retry=True
        )
    return answer["Quota"]["Value"]


def main():
    """Run as a module."""
    spec = {"quotas": {"type": "list", "elements": "str", "required": True}}
    module = AnsibleAWSModule(argument_spec=spec, supports_check_mode=True)
    client = module.client("service-quotas", retry_decorator=AWSRetry.jittered_backoff())
    values = {}
    for quota in module.params["quotas"]:
        service, _, code = quota.partition("/")
        try:
            values[quota] = value_of(client, service, code)
        except (BotoCoreError, ClientError) as error:
            module.fail_json_aws(error, msg=f"quota {quota}")
    module.exit_json(changed=False, values=values)


if __name__ == "__main__":
    main()
