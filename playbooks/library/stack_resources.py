#!/usr/bin/python
"""Everything of a stack, found by names and tags: listed, or removed in an order that works."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_resources
short_description: List or remove what a stack is made of
description:
  - Finds resources by their names and the tag C(darkroom/stack), so it needs no saved state.
  - With I(state=absent) removes them in an order in which AWS lets go of them, and waits for
    what takes time. Safe to run again after it was interrupted.
author: [Darkroom]
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  state:
    description: Whether to list or to remove.
    type: str
    choices: [listed, absent]
    default: listed
  data:
    description: Whether to remove the stack's buckets and table too, with all content.
    type: bool
    default: false
  kinds:
    description: Only these kinds, as they are listed, such as C(VPC link); none for all.
    type: list
    elements: str
    default: []
  lacks:
    description: Calls that an emulator of AWS does not have; what they list is left out.
    type: list
    elements: str
    default: []
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
  stack_resources:
    stack: sdoneks

- name: Remove all but data
  stack_resources:
    stack: sdoneks
    state: absent
"""

RETURN = r"""
resources:
  description: What is there, or was removed, as kind and name.
  returned: always
  type: list
  elements: str
messages:
  description: Messages of each queue of tasks, waiting or in work, that has any.
  returned: always
  type: dict
"""

import time

from ansible.module_utils.stack import Stack
from ansible.module_utils.stack_kinds import KINDS
from ansible.module_utils.stack_services import queues
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from botocore.exceptions import BotoCoreError, ClientError

# AWS says so while something else still has to go; it goes within minutes.
NOT_YET = {
    "ConflictException",
    "DeleteConflict",
    "DependencyViolation",
    "InvalidIPAddress.InUse",
    "InvalidNetworkInterface.InUse",
    "ResourceInUse",
    "ResourceInUseException",
    "TooManyRequestsException",
}
PAUSE_SECONDS = 10


def clear(kind, stack, wait_seconds):
    """Remove everything of one kind and wait until it is gone; gives what was there."""
    asked, gone = set(), []
    deadline = time.monotonic() + wait_seconds
    while found := list(kind.find(stack)):
        for identifier, name in found:
            if identifier not in asked and remove(kind, stack, identifier):
                asked.add(identifier)
                gone.append(shown(kind, identifier, name))
        if asked and not list(kind.find(stack)):
            break
        if time.monotonic() > deadline:
            still = ", ".join(shown(kind, identifier, name) for identifier, name in found)
            raise TimeoutError(f"still there after {wait_seconds} s: {still}")
        time.sleep(PAUSE_SECONDS)
    return gone


def remove(kind, stack, identifier):
    """Ask for one removal, and give whether AWS agreed; it may not yet."""
    try:
        kind.remove(stack, identifier)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in NOT_YET:
            return False
        if "NotFound" not in code and code != "NoSuchEntity":
            raise
    return True


def shown(kind, identifier, name):
    """Kind and name as text."""
    return f"{kind.title} {name or identifier}"


def messages(stack):
    """The number of messages of each queue that has any and may hold tasks."""
    counted = {}
    for url, name in queues(stack):
        if name == f"{stack.name}_interruptions":
            continue  # holds what EC2 says of the nodes
        answer = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        numbers = answer["Attributes"]
        kinds = ("", "NotVisible", "Delayed")
        counted[name] = sum(int(numbers[f"ApproximateNumberOfMessages{k}"]) for k in kinds)
    return {name: count for name, count in counted.items() if count}


def settle(module, stack):
    """List or remove; gives what was found and whether anything changed."""
    params = module.params
    wanted = [kind for kind in KINDS if not params["kinds"] or kind.title in params["kinds"]]
    kinds = [kind for kind in wanted if kind.call not in params["lacks"]]
    if params["state"] == "absent":
        kinds = [kind for kind in kinds if params["data"] or not kind.holds_data]
        if not module.check_mode:
            gone = [
                each for kind in kinds for each in clear(kind, stack, params["wait_seconds"])
            ]
            return gone, bool(gone)
    found = [f"{kind.title} {name or id_}" for kind in kinds for id_, name in kind.find(stack)]
    return found, bool(found) and params["state"] == "absent"


def main():
    """Run as a module."""
    module = AnsibleAWSModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["listed", "absent"], "default": "listed"},
            "data": {"type": "bool", "default": False},
            "kinds": {
                "type": "list",
                "elements": "str",
                "default": [],
                "choices": [kind.title for kind in KINDS],
            },
            "lacks": {"type": "list", "elements": "str", "default": []},
            "wait_seconds": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    stack = Stack(module.params["stack"], region=module.region, client=module.client)
    try:
        waiting = messages(stack)
        resources, changed = settle(module, stack)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"stack {stack.name}")
    except TimeoutError as error:
        module.fail_json(msg=str(error))
    diff = (
        {"before": "".join(f"{each}\n" for each in resources), "after": ""} if changed else {}
    )
    module.exit_json(changed=changed, resources=resources, messages=waiting, diff=diff)


if __name__ == "__main__":
    main()
