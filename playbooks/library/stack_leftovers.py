#!/usr/bin/python
"""What no CloudFormation stack of a deployment holds, as an Ansible module: listed, or removed.

Karpenter and Kubernetes make nodes and load balancers, which no stack knows and which keep its
resources from going. Data outlives the stacks. Both are found by tags and names, which no
collection's module can do for all of them.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_leftovers
short_description: List or remove what a deployment has beside its CloudFormation stacks
description:
  - C(nodes) are what Karpenter and Kubernetes have made; they are removed when nothing makes
    them again, and before the stack of the cluster. C(network) is what then is left in the VPC.
    C(data) is what outlives a deployment.
  - Safe to run again after it was interrupted.
author: [Darkroom]
options:
  stack:
    description: Name of the deployment.
    type: str
    required: true
  of:
    description: Which of them.
    type: list
    elements: str
    choices: [nodes, network, data]
    default: [nodes, network, data]
  state:
    description: Whether to list or to remove.
    type: str
    choices: [listed, absent]
    default: listed
  wait_seconds:
    description: How long to wait for one kind of resource to be gone.
    type: int
    default: 1800
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: List what there is
  stack_leftovers:
    stack: sdoneks

- name: Remove what Karpenter made
  stack_leftovers:
    stack: sdoneks
    of: [nodes]
    state: absent
"""

RETURN = r"""
resources:
  description: What is there, or was removed, as kind and name.
  returned: always
  type: list
  elements: str
"""

import time
from typing import Any

from ansible.module_utils.leftovers import KINDS, Account, Kind
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from botocore.exceptions import BotoCoreError, ClientError

# AWS says so while something else still has to go; it goes within minutes.
NOT_YET = {
    "DependencyViolation",
    "InvalidNetworkInterface.InUse",
    "ResourceInUse",
    "ResourceInUseException",
}
PAUSE_SECONDS = 10


def clear(kind: Kind, account: Account, wait_seconds: int) -> list[str]:
    """Remove everything of one kind and wait until it is gone; gives what was there."""
    gone: dict[str, str] = {}
    deadline = time.monotonic() + wait_seconds
    while found := dict(kind.find(account)):
        for identifier in found.keys() - gone.keys():
            if remove(kind, account, identifier):
                gone[identifier] = found[identifier]
        if gone and not dict(kind.find(account)):
            break
        if time.monotonic() > deadline:
            still = ", ".join(shown(kind, found))
            raise TimeoutError(f"still there after {wait_seconds} s: {still}")
        time.sleep(PAUSE_SECONDS)
    return shown(kind, gone)


def remove(kind: Kind, account: Account, identifier: str) -> bool:
    """Ask for one removal, and give whether AWS agreed; it may not yet."""
    try:
        kind.remove(account, identifier)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in NOT_YET:
            return False
        if "NotFound" not in code and code != "NoSuchEntity":
            raise
    return True


def shown(kind: Kind, found: dict[str, str]) -> list[str]:
    """Kind and name of each, as text."""
    return [f"{kind.title} {name or identifier}" for identifier, name in found.items()]


def settle(module: Any, account: Account) -> list[str]:
    """What is there, or was removed."""
    kinds = [kind for kind in KINDS if kind.of in module.params["of"]]
    if module.params["state"] == "absent" and not module.check_mode:
        wait_seconds = module.params["wait_seconds"]
        return [each for kind in kinds for each in clear(kind, account, wait_seconds)]
    return [each for kind in kinds for each in shown(kind, dict(kind.find(account)))]


def main() -> None:
    """Run as a module."""
    parts = ["nodes", "network", "data"]
    module = AnsibleAWSModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "of": {"type": "list", "elements": "str", "choices": parts, "default": parts},
            "state": {"type": "str", "choices": ["listed", "absent"], "default": "listed"},
            "wait_seconds": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    account = Account(module.params["stack"], region=module.region, client=module.client)
    try:
        resources = settle(module, account)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"stack {account.stack}")
    except TimeoutError as error:
        module.fail_json(msg=str(error))
    changed = module.params["state"] == "absent" and bool(resources)
    lines = "".join(f"{each}\n" for each in resources)
    diff = {"before": lines, "after": ""} if changed else {}
    module.exit_json(changed=changed, resources=resources, diff=diff)


if __name__ == "__main__":
    main()
