#!/usr/bin/python
"""Runtimes that a stack had before, as an Ansible module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible.module_utils.aws_calls import AwsCalls
from ansible.module_utils.darkroom_errors import told
from ansible.module_utils.stack import Stack
from ansible.module_utils.stack_services import queues
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
module: former_runtimes_info
short_description: Tell which runtimes of a stack are no longer in its configuration
description:
  - Finds them by their queues, which stay when a runtime is taken out of the configuration.
  - Changes nothing, but tells the commands that remove what is left.
options:
  stack:
    description: Name of the stack, and of its cluster.
    type: str
    required: true
  runtimes:
    description: Names of the runtimes that are in the configuration.
    type: list
    elements: str
    required: true
  topic_arn:
    description: Topic from which the queues get tasks.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author: Darkroom
"""

EXAMPLES = r"""
- name: Look for runtimes that are gone
  former_runtimes_info:
    stack: sdoneks
    runtimes: [sdruntime]
    topic_arn: arn:aws:sns:us-east-1:123456789012:sdoneks-tasks
"""

RETURN = r"""
runtimes:
  description: Each with C(name) and C(commands), in the order in which they are to be run.
  returned: always
  type: list
  elements: dict
"""

DEAD_LETTERS = "-dlq"


def left(module: Any, stack: Stack) -> list[dict[str, Any]]:
    """The runtimes that have queues and are not in the configuration."""
    urls = {name: url for url, name in queues(stack)}
    # A queue of dead letters is what only runtimes have.
    had = {
        name.removeprefix(f"{stack.name}-").removesuffix(DEAD_LETTERS)
        for name in urls
        if name.endswith(DEAD_LETTERS)
    }
    return [
        {"name": name, "commands": list(commands(module, stack, name, urls))}
        for name in sorted(had - set(module.params["runtimes"]))
    ]


def commands(module: Any, stack: Stack, name: str, urls: dict[str, str]) -> Iterator[str]:
    """What removes a runtime: first who works on tasks, then who sends them."""
    there = f"--region {module.region}"
    associations = AwsCalls(module, "eks").items(
        "list_pod_identity_associations", "associations", clusterName=stack.name
    )
    for each in associations:
        if each["serviceAccount"] == f"queue-agent-{name}":
            yield f"helm uninstall {name} --namespace {each['namespace']}"
            yield (
                f"aws eks delete-pod-identity-association --cluster-name {stack.name}"
                f" --association-id {each['associationId']} {there}"
            )
    topic = module.params["topic_arn"]
    for each in stack.pages(
        "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic
    ):
        if each["Endpoint"].endswith(f":{stack.name}-{name}"):
            yield f"aws sns unsubscribe --subscription-arn {each['SubscriptionArn']} {there}"
    for queue in (f"{stack.name}-{name}", f"{stack.name}-{name}{DEAD_LETTERS}"):
        if queue in urls:
            yield f"aws sqs delete-queue --queue-url {urls[queue]} {there}"


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "stack": {"required": True},
            "runtimes": {"type": "list", "elements": "str", "required": True},
            "topic_arn": {"required": True},
        },
        supports_check_mode=True,
    )
    stack = Stack(module.params["stack"], region=module.region, client=module.client)
    with told(module):
        module.exit_json(changed=False, runtimes=left(module, stack))


if __name__ == "__main__":
    main()
