#!/usr/bin/python
"""A resource policy of X-Ray, as an Ansible module."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: xray_resource_policy
short_description: Make or remove a policy that lets a service of AWS write traces
options:
  name:
    description: Name of the policy.
    type: str
    required: true
  policy:
    description: The policy. Required to make one.
    type: dict
  state:
    description: Whether the policy is there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Let SNS write traces
  xray_resource_policy:
    name: sdoneks-sns
    policy: "{{ lookup('ansible.builtin.template', 'xray_policy.json.j2') | from_json }}"
"""

RETURN = r"""
policy_name:
  description: Name of the policy.
  type: str
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"required": True},
            "policy": {"type": "dict"},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["policy"])],
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("xray", retry_decorator=AWSRetry.jittered_backoff())
        name = module.params["name"]
        before = policy_of(client, name)
        after = module.params["policy"] if module.params["state"] == "present" else None
        if before != after and not module.check_mode:
            if after is None:
                client.delete_resource_policy(PolicyName=name, aws_retry=True)
            else:
                client.put_resource_policy(
                    PolicyName=name, PolicyDocument=json.dumps(after), aws_retry=True
                )
        diff = {"before": before or {}, "after": after or {}}
        module.exit_json(changed=before != after, diff=diff, policy_name=name)


def policy_of(client: Any, name: str) -> Any:
    """Give the policy as it is, or None."""
    for page in client.get_paginator("list_resource_policies").paginate():
        for found in page.get("ResourcePolicies", []):
            if found["PolicyName"] == name:
                return json.loads(found["PolicyDocument"])
    return None


if __name__ == "__main__":
    main()
