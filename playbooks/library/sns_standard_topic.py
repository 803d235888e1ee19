#!/usr/bin/python
"""A standard SNS topic with what the collection's module leaves out: encryption and tracing."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sns_standard_topic
short_description: Make a standard SNS topic, encrypted and traced
description:
  - Makes a topic, or sets its attributes and tags where they differ. Subscriptions stay.
author: [Darkroom]
options:
  name:
    description: Name of the topic.
    type: str
    required: true
  state:
    description: Whether the topic is to be there.
    type: str
    choices: [present, absent]
    default: present
  policy:
    description: Who may do what with the topic.
    type: json
  kms_key:
    description: Key that encrypts messages, as id, ARN or alias; empty for none.
    type: str
    default: ""
  active_tracing:
    description: Whether SNS sends segments to X-Ray.
    type: bool
    default: false
  tags:
    description: Tags to set; other tags stay.
    type: dict
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a topic
  sns_standard_topic:
    name: sdoneks-tasks
    kms_key: alias/aws/sns
    active_tracing: true
"""

RETURN = r"""
topic_arn:
  description: ARN of the topic; in check mode of one that is not there, what it will be.
  returned: always
  type: str
attributes:
  description: Names of the attributes that were set.
  returned: when present
  type: list
  elements: str
"""

from ansible.module_utils.attributes import arn_of, differing, missing_tags
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from botocore.exceptions import BotoCoreError, ClientError


def present(module, client, arn):
    """Make the topic as it is wanted, and give the result."""
    wanted = wanted_attributes(module.params, arn)
    current = attributes(client, arn)
    changes = differing(current or {}, wanted)
    tags = missing_tags(tags_of(client, arn) if current else {}, module.params["tags"])
    if not module.check_mode:
        if current is None:
            client.create_topic(Name=module.params["name"])
        for name, value in changes.items():
            client.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=value)
        if tags:
            client.tag_resource(ResourceArn=arn, Tags=ansible_dict_to_boto3_tag_list(tags))
    before = {name: (current or {}).get(name, "") for name in changes}
    return {
        "changed": current is None or bool(changes or tags),
        "attributes": sorted(changes),
        "diff": {"before": before, "after": changes | {f"tag {k}": v for k, v in tags.items()}},
    }


def absent(module, client, arn):
    """Remove the topic and its subscriptions, and give the result."""
    there = attributes(client, arn) is not None
    if there and not module.check_mode:
        client.delete_topic(TopicArn=arn)
    return {"changed": there}


def wanted_attributes(params, arn):
    """The attributes that the parameters stand for."""
    wanted = {
        "KmsMasterKeyId": params["kms_key"],
        "TracingConfig": "Active" if params["active_tracing"] else "PassThrough",
    }
    if params["policy"]:
        wanted["Policy"] = params["policy"]
    return wanted


def attributes(client, arn):
    """What the topic has, or None if there is no such topic."""
    try:
        return client.get_topic_attributes(TopicArn=arn, aws_retry=True)["Attributes"]
    except is_boto3_error_code(["NotFound", "NotFoundException"]):
        return None


def tags_of(client, arn):
    """The tags of the topic."""
    return boto3_tag_list_to_ansible_dict(
        client.list_tags_for_resource(ResourceArn=arn)["Tags"]
    )


def main():
    """Run as a module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "policy": {"type": "json"},
            "kms_key": {"type": "str", "default": ""},
            "active_tracing": {"type": "bool", "default": False},
            "tags": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    client = module.client("sns", retry_decorator=AWSRetry.jittered_backoff())
    try:
        arn = arn_of(module, "sns")
        act = present if module.params["state"] == "present" else absent
        module.exit_json(topic_arn=arn, **act(module, client, arn))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"topic {module.params['name']}")


if __name__ == "__main__":
    main()
