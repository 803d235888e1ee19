#!/usr/bin/python
"""Finding a load balancer by its tags, as an Ansible module.

Kubernetes makes it, so it is in no stack; the collections tell of application load balancers
only.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: load_balancer_info
short_description: Find load balancers by their tags
options:
  tags:
    description: Sets of tags; a load balancer is found when it has all tags of one of the sets.
    type: list
    elements: dict
    required: true
  arn:
    description: The load balancer itself, instead of its tags.
    type: str
  type:
    description: Which kind.
    type: str
    choices: [network, application]
    default: network
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Find the load balancer of a Service
  load_balancer_info:
    tags:
      - kubernetes.io/service-name: darkroom/ingest
        kubernetes.io/cluster/sdoneks: owned
"""

RETURN = r"""
load_balancers:
  description: Those found, each with C(arn), C(dns_name), C(state) and C(scheme).
  type: list
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "tags": {"type": "list", "elements": "dict", "required": True},
            "arn": {},
            "type": {"choices": ["network", "application"], "default": "network"},
        },
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("elbv2", retry_decorator=AWSRetry.jittered_backoff())
        pages = client.get_paginator("describe_load_balancers").paginate()
        balancers = [
            balancer
            for page in pages
            for balancer in page["LoadBalancers"]
            if balancer["Type"] == module.params["type"]
        ]
        tags = tags_of(client, [balancer["LoadBalancerArn"] for balancer in balancers])
        found = [
            {
                "arn": balancer["LoadBalancerArn"],
                "dns_name": balancer["DNSName"],
                "state": balancer["State"]["Code"],
                "scheme": balancer["Scheme"],
            }
            for balancer in balancers
            if wanted(module.params, balancer["LoadBalancerArn"], tags)
        ]
        module.exit_json(changed=False, load_balancers=found)


def wanted(given: dict[str, Any], arn: str, tags: dict[str, dict[str, str]]) -> bool:
    """Whether a load balancer is the one."""
    if given["arn"]:
        return bool(arn == given["arn"])
    return any(asked.items() <= tags[arn].items() for asked in given["tags"])


def tags_of(client: Any, arns: list[str]) -> dict[str, dict[str, str]]:
    """The tags of load balancers by ARN; AWS takes 20 at a time."""
    return {
        each["ResourceArn"]: {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        for start in range(0, len(arns), 20)
        for each in client.describe_tags(ResourceArns=arns[start : start + 20], aws_retry=True)[
            "TagDescriptions"
        ]
    }


if __name__ == "__main__":
    main()
