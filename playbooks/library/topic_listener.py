#!/usr/bin/python
"""A queue that hears a topic for a while, as an Ansible module."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: topic_listener
short_description: Make or remove a queue that gets every message of a topic as it was published
options:
  name:
    description: Name of the queue.
    type: str
    required: true
  topic_arn:
    description: The topic.
    type: str
    required: true
  tags:
    description: Tags of the queue.
    type: dict
    default: {}
  state:
    description: Whether the queue and its subscription are there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Hear the results
  topic_listener:
    name: sdoneks-verify
    topic_arn: "{{ result_topic_arn }}"
"""

RETURN = r"""
queue_url:
  description: URL of the queue; empty in check mode for one that is not there.
  type: str
  returned: when state is present
"""

MISSING = ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"required": True},
            "topic_arn": {"required": True},
            "tags": {"type": "dict", "default": {}},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    with told(module):
        retry = AWSRetry.jittered_backoff()
        sqs = module.client("sqs", retry_decorator=retry)
        sns = module.client("sns", retry_decorator=retry)
        url = url_of(sqs, module.params["name"])
        if module.params["state"] == "absent":
            remove(module, sns, sqs, url)
        make(module, sns, sqs, url)


def url_of(sqs: Any, name: str) -> str | None:
    """The URL of a queue, or None."""
    try:
        url: str = sqs.get_queue_url(QueueName=name, aws_retry=True)["QueueUrl"]
    except is_boto3_error_code(MISSING):
        return None
    return url


def make(module: Any, sns: Any, sqs: Any, url: str | None) -> None:
    """Find or make the queue and its subscription, and end."""
    name, topic = module.params["name"], module.params["topic_arn"]
    subscribed = bool(subscriptions(sns, topic, name))
    if not module.check_mode and not (url and subscribed):
        # A queue of that name that just went can be made again only after a minute.
        tags = module.params["tags"]
        url = sqs.create_queue(QueueName=name, tags=tags, aws_retry=True)["QueueUrl"]
        arn = arn_of(sqs, url)
        policy = json.dumps(allowing(arn, topic))
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy}, aws_retry=True)
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
            aws_retry=True,
        )
        module.exit_json(changed=True, queue_url=url)
    module.exit_json(changed=not (url and subscribed), queue_url=url or "")


def arn_of(sqs: Any, url: str) -> str:
    """The ARN of a queue."""
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"], aws_retry=True)
    arn: str = asked["Attributes"]["QueueArn"]
    return arn


def allowing(queue_arn: str, topic_arn: str) -> dict[str, Any]:
    """The policy of a queue that only this topic may send to."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
            }
        ],
    }


def subscriptions(sns: Any, topic: str, queue: str) -> list[str]:
    """The ARNs of the subscriptions of a queue to a topic."""
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    return [
        each["SubscriptionArn"]
        for page in pages
        for each in page["Subscriptions"]
        if each["Protocol"] == "sqs" and each["Endpoint"].endswith(f":{queue}")
    ]


def remove(module: Any, sns: Any, sqs: Any, url: str | None) -> None:
    """Remove the subscription and the queue, and end."""
    found = subscriptions(sns, module.params["topic_arn"], module.params["name"])
    if not module.check_mode:
        for arn in found:
            sns.unsubscribe(SubscriptionArn=arn, aws_retry=True)
        if url:
            sqs.delete_queue(QueueUrl=url, aws_retry=True)
    module.exit_json(changed=bool(url or found))


if __name__ == "__main__":
    main()
