#!/usr/bin/python
"""How many messages queues hold, as a module; no stack and no collection tells it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: queue_messages_info
short_description: Count the messages of queues
options:
  urls:
    description: URLs of the queues.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author: Darkroom
"""

EXAMPLES = r"""
- name: Count what waits
  queue_messages_info:
    urls: [https://sqs.us-east-1.amazonaws.com/123456789012/sdoneks-sdruntime]
"""

RETURN = r"""
messages:
  description: Name of each queue that has any to how many wait or are in work.
  returned: always
  type: dict
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"urls": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("sqs", retry_decorator=AWSRetry.jittered_backoff())
        counted = {url.rpartition("/")[2]: count(client, url) for url in module.params["urls"]}
    module.exit_json(
        changed=False, messages={name: number for name, number in counted.items() if number}
    )


def count(client: Any, url: str) -> int:
    """The messages of one queue; none if there is no such queue any more."""
    kinds = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    try:
        answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=kinds, aws_retry=True)
    except client.exceptions.QueueDoesNotExist:
        return 0
    return sum(int(answer["Attributes"][kind]) for kind in kinds)


if __name__ == "__main__":
    main()
