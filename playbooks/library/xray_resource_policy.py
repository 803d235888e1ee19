#!/usr/bin/python
"""A policy by which X-Ray takes segments from another service of AWS."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: xray_resource_policy
short_description: Let a service of AWS send segments to X-Ray
description:
  - Puts a resource policy of X-Ray where it is missing or differs.
author: [Darkroom]
options:
  name:
    description: Name of the policy.
    type: str
    required: true
  state:
    description: Whether the policy is to be there.
    type: str
    choices: [present, absent]
    default: present
  policy:
    description: The policy, required if it is to be there.
    type: json
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Let SNS send segments
  xray_resource_policy:
    name: sdoneks-topics
    policy: "{{ lookup('ansible.builtin.template', 'xray-policy.json.j2') }}"
"""

RETURN = r"""
policy_name:
  description: Name of the policy.
  returned: always
  type: str
"""

import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from botocore.exceptions import BotoCoreError, ClientError


def find(client, name):
    """The policy of this name, parsed, or None."""
    for page in client.get_paginator("list_resource_policies").paginate():
        for policy in page.get("ResourcePolicies", []):
            if policy["PolicyName"] == name:
                return json.loads(policy["PolicyDocument"])
    return None


def settle(client, params, *, check_mode):
    """Make it so, and give whether that is a change, with the difference."""
    wanted = json.loads(params["policy"]) if params["state"] == "present" else None
    current = find(client, params["name"])
    changed = current != wanted
    if changed and not check_mode:
        if wanted is None:
            client.delete_resource_policy(PolicyName=params["name"])
        else:
            client.put_resource_policy(
                PolicyName=params["name"], PolicyDocument=json.dumps(wanted)
            )
    return changed, {"before": current or {}, "after": wanted or {}}


def main():
    """Run as a module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "policy": {"type": "json"},
        },
        required_if=[("state", "present", ["policy"])],
        supports_check_mode=True,
    )
    client = module.client("xray", retry_decorator=AWSRetry.jittered_backoff())
    try:
        changed, diff = settle(client, module.params, check_mode=module.check_mode)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"policy {module.params['name']}")
    module.exit_json(changed=changed, policy_name=module.params["name"], diff=diff)


if __name__ == "__main__":
    main()
