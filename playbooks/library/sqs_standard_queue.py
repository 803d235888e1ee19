#!/usr/bin/python
"""A standard SQS queue with what the collection's module lacks: who may redrive into it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sqs_standard_queue
short_description: Make a standard SQS queue, or a queue for its dead letters
description:
  - Makes a queue, or sets its attributes and tags where they differ. Messages stay.
author: [Darkroom]
options:
  name:
    description: Name of the queue.
    type: str
    required: true
  state:
    description: Whether the queue is to be there.
    type: str
    choices: [present, absent]
    default: present
  visibility_seconds:
    description: How long a received message is hidden.
    type: int
    default: 30
  retention_seconds:
    description: How long a message is kept.
    type: int
    default: 345600
  receive_wait_seconds:
    description: How long a receive waits if it does not say so itself.
    type: int
    default: 0
  policy:
    description: Who may do what with the queue.
    type: json
  dead_letter_queue_arn:
    description: Where a message goes after I(max_receive_count) receives.
    type: str
  max_receive_count:
    description: Receives of one message before it is a dead letter.
    type: int
    default: 10
  redrive_source_arns:
    description: The queues that may have this one for their dead letters; none but these.
    type: list
    elements: str
  tags:
    description: Tags to set; other tags stay.
    type: dict
notes:
  - The queue is encrypted with keys of SQS.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a queue
  sqs_standard_queue:
    name: sdoneks-sdruntime
    visibility_seconds: 120
    dead_letter_queue_arn: arn:aws:sqs:us-east-1:123456789012:sdoneks-sdruntime-dlq
"""

RETURN = r"""
queue_arn:
  description: ARN of the queue.
  returned: always
  type: str
queue_url:
  description: URL of the queue; empty in check mode if it is not there yet.
  returned: always
  type: str
attributes:
  description: Names of the attributes that were set.
  returned: when present
  type: list
  elements: str
"""

from ansible.module_utils.attributes import arn_of, as_json, differing, missing_tags
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from botocore.exceptions import BotoCoreError, ClientError

MISSING = ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"]


def present(module, client):
    """Make the queue as it is wanted, and give the result."""
    wanted = wanted_attributes(module.params)
    url = url_of(client, module.params["name"])
    found = url is not None
    current = attributes(client, url) if found else {}
    changes = differing(current, wanted)
    tags = missing_tags(tags_of(client, url) if found else {}, module.params["tags"])
    if not module.check_mode:
        if not found:
            url = client.create_queue(QueueName=module.params["name"])["QueueUrl"]
        if changes:
            client.set_queue_attributes(QueueUrl=url, Attributes=changes)
        if tags:
            client.tag_queue(QueueUrl=url, Tags=tags)
    before = {name: current.get(name, "") for name in changes}
    return {
        "changed": not found or bool(changes or tags),
        "queue_url": url or "",
        "attributes": sorted(changes),
        "diff": {"before": before, "after": changes | {f"tag {k}": v for k, v in tags.items()}},
    }


def absent(module, client):
    """Remove the queue with all its messages, and give the result."""
    url = url_of(client, module.params["name"])
    if url and not module.check_mode:
        client.delete_queue(QueueUrl=url)
    return {"changed": url is not None, "queue_url": ""}


def wanted_attributes(params):
    """The attributes that the parameters stand for; an empty one removes a policy."""
    wanted = {
        "VisibilityTimeout": str(params["visibility_seconds"]),
        "MessageRetentionPeriod": str(params["retention_seconds"]),
        "ReceiveMessageWaitTimeSeconds": str(params["receive_wait_seconds"]),
        "SqsManagedSseEnabled": "true",
        "Policy": params["policy"] or "",
        "RedrivePolicy": "",
        "RedriveAllowPolicy": "",
    }
    if params["dead_letter_queue_arn"]:
        wanted["RedrivePolicy"] = as_json(
            {
                "deadLetterTargetArn": params["dead_letter_queue_arn"],
                "maxReceiveCount": params["max_receive_count"],
            }
        )
    if params["redrive_source_arns"]:
        wanted["RedriveAllowPolicy"] = as_json(
            {"redrivePermission": "byQueue", "sourceQueueArns": params["redrive_source_arns"]}
        )
    return wanted


def url_of(client, name):
    """The queue's URL, or None if there is no such queue."""
    try:
        return client.get_queue_url(QueueName=name, aws_retry=True)["QueueUrl"]
    except is_boto3_error_code(MISSING):
        return None


def attributes(client, url):
    """What the queue has."""
    answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"], aws_retry=True)
    return answer["Attributes"]


def tags_of(client, url):
    """The tags of the queue."""
    return client.list_queue_tags(QueueUrl=url, aws_retry=True).get("Tags", {})


def main():
    """Run as a module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "visibility_seconds": {"type": "int", "default": 30},
            "retention_seconds": {"type": "int", "default": 345600},
            "receive_wait_seconds": {"type": "int", "default": 0},
            "policy": {"type": "json"},
            "dead_letter_queue_arn": {"type": "str"},
            "max_receive_count": {"type": "int", "default": 10},
            "redrive_source_arns": {"type": "list", "elements": "str"},
            "tags": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    client = module.client("sqs", retry_decorator=AWSRetry.jittered_backoff())
    try:
        act = present if module.params["state"] == "present" else absent
        module.exit_json(queue_arn=arn_of(module, "sqs"), **act(module, client))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"queue {module.params['name']}")


if __name__ == "__main__":
    main()
