#!/usr/bin/python
"""One subscription of a topic, with the filter policy that the collection's module ignores."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sns_subscription
short_description: Subscribe an endpoint to an SNS topic, with a filter policy
description:
  - Subscribes, or sets the attributes of the subscription where they differ.
author: [Darkroom]
options:
  topic_arn:
    description: The topic.
    type: str
    required: true
  endpoint:
    description: Where messages go, for I(protocol=sqs) the ARN of a queue.
    type: str
    required: true
  protocol:
    description: How they go there.
    type: str
    choices: [sqs, lambda]
    default: sqs
  state:
    description: Whether the subscription is to be there.
    type: str
    choices: [present, absent]
    default: present
  raw_message_delivery:
    description: Whether a message is delivered as it was published, without an envelope.
    type: bool
    default: false
  filter_policy:
    description: Which messages are delivered; all if empty.
    type: json
    default: {}
  filter_policy_scope:
    description: What the filter policy reads.
    type: str
    choices: [MessageAttributes, MessageBody]
    default: MessageAttributes
  dead_letter_queue_arn:
    description: Where a message goes that cannot be delivered; nowhere if empty.
    type: str
    default: ""
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Deliver the messages of one runtime
  sns_subscription:
    topic_arn: arn:aws:sns:us-east-1:123456789012:sdoneks-tasks
    endpoint: arn:aws:sqs:us-east-1:123456789012:sdoneks-sdruntime
    raw_message_delivery: true
    filter_policy: {runtime: [sdruntime]}
"""

RETURN = r"""
subscription_arn:
  description: ARN of the subscription; empty in check mode if it is not there yet.
  returned: always
  type: str
attributes:
  description: Names of the attributes that were set.
  returned: when present
  type: list
  elements: str
"""

from ansible.module_utils.attributes import as_json, differing
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from botocore.exceptions import BotoCoreError, ClientError

# What AWS leaves out of an answer when it is not set.
UNSET = {"RawMessageDelivery": "false", "FilterPolicyScope": "MessageAttributes"}
NOTHING = "{}"  # as a policy, removes it


def present(module, client):
    """Subscribe as it is wanted, and give the result."""
    params = module.params
    wanted = wanted_attributes(params)
    arn = find(client, params)
    current = attributes(client, arn) if arn else dict(UNSET)
    changes = differing(current, wanted)
    if not module.check_mode:
        if not arn:
            # All at once: without its filter it would get every message for a moment.
            arn = client.subscribe(
                TopicArn=params["topic_arn"],
                Protocol=params["protocol"],
                Endpoint=params["endpoint"],
                Attributes={k: v for k, v in wanted.items() if v != NOTHING},
                ReturnSubscriptionArn=True,
            )["SubscriptionArn"]
            return result(arn, changed=True, before={}, after=wanted)
        for name, value in changes.items():
            client.set_subscription_attributes(
                SubscriptionArn=arn, AttributeName=name, AttributeValue=value
            )
    before = {name: current.get(name, "") for name in changes}
    return result(arn or "", changed=not arn or bool(changes), before=before, after=changes)


def result(arn, *, changed, before, after):
    """What the module returns."""
    return {
        "changed": changed,
        "subscription_arn": arn,
        "attributes": sorted(after),
        "diff": {"before": before, "after": after},
    }


def absent(module, client):
    """Unsubscribe, and give the result."""
    arn = find(client, module.params)
    if arn and not module.check_mode:
        client.unsubscribe(SubscriptionArn=arn)
    return {"changed": arn is not None, "subscription_arn": ""}


def wanted_attributes(params):
    """The attributes that the parameters stand for; `{}` is no policy."""
    redrive = {"deadLetterTargetArn": params["dead_letter_queue_arn"]}
    return {
        "RawMessageDelivery": "true" if params["raw_message_delivery"] else "false",
        # The scope first: a policy is checked against the scope that is set.
        "FilterPolicyScope": params["filter_policy_scope"],
        "FilterPolicy": params["filter_policy"],
        "RedrivePolicy": as_json(redrive) if params["dead_letter_queue_arn"] else NOTHING,
    }


def find(client, params):
    """The ARN of the subscription, or None if there is none or no such topic."""
    pages = client.get_paginator("list_subscriptions_by_topic")
    try:
        for page in pages.paginate(TopicArn=params["topic_arn"]):
            for known in page["Subscriptions"]:
                same = known["Endpoint"] == params["endpoint"]
                if same and known["Protocol"] == params["protocol"]:
                    return known["SubscriptionArn"]
    except is_boto3_error_code(["NotFound", "NotFoundException"]):
        pass
    return None


def attributes(client, arn):
    """What the subscription has."""
    answer = client.get_subscription_attributes(SubscriptionArn=arn, aws_retry=True)
    return UNSET | answer["Attributes"]


def main():
    """Run as a module."""
    protocols = ["sqs", "lambda"]  # those that need no confirmation
    scopes = ["MessageAttributes", "MessageBody"]
    module = AnsibleAWSModule(
        argument_spec={
            "topic_arn": {"type": "str", "required": True},
            "endpoint": {"type": "str", "required": True},
            "protocol": {"type": "str", "choices": protocols, "default": "sqs"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "raw_message_delivery": {"type": "bool", "default": False},
            "filter_policy": {"type": "json", "default": {}},
            "filter_policy_scope": {"type": "str", "choices": scopes, "default": scopes[0]},
            "dead_letter_queue_arn": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    client = module.client("sns", retry_decorator=AWSRetry.jittered_backoff())
    try:
        act = present if module.params["state"] == "present" else absent
        module.exit_json(**act(module, client))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"subscription of {module.params['endpoint']}")


if __name__ == "__main__":
    main()
