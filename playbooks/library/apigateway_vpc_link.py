#!/usr/bin/python
"""A VPC link of API Gateway's REST APIs, as an Ansible module."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.darkroom_apigateway import listed
from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: apigateway_vpc_link
short_description: Make or remove the VPC link between REST APIs and a network load balancer
description:
  - A link is known by its name and its load balancer, and cannot move to another. For a new
    load balancer make a second link of the same name, move the API to it, and remove the first
    by O(state=absent) and O(keep).
options:
  name:
    description: Name of the link.
    type: str
    required: true
  target_arn:
    description: ARN of the network load balancer. Required to make a link.
    type: str
  keep:
    description: Ids of links that O(state=absent) leaves.
    type: list
    elements: str
    default: []
  tags:
    description: Tags of a new link.
    type: dict
    default: {}
  wait_seconds:
    description: How long a new link may take to be available, which usually is 2 to 4 minutes.
    type: int
    default: 900
  poll_seconds:
    description: Time between two looks.
    type: float
    default: 5
  state:
    description: Whether the link is there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make the link to the load balancer of ingest
  apigateway_vpc_link:
    name: sdoneks
    target_arn: "{{ load_balancer.arn }}"
"""

RETURN = r"""
vpc_link_id:
  description: Id of the link; empty in check mode for one that is not there yet.
  type: str
  returned: when state is present
removed:
  description: Ids of the removed links.
  type: list
  returned: when state is absent
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"required": True},
            "target_arn": {},
            "keep": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "default": {}},
            "wait_seconds": {"type": "int", "default": 900},
            "poll_seconds": {"type": "float", "default": 5},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["target_arn"])],
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("apigateway", retry_decorator=AWSRetry.jittered_backoff())
        links = [
            link
            for link in listed(client, "get_vpc_links")
            if link["name"] == module.params["name"]
        ]
        if module.params["state"] == "absent":
            remove(module, client, links)
        make(module, client, links)


def make(module: Any, client: Any, links: list[dict[str, Any]]) -> None:
    """Find or make the link, and end when it is available."""
    target = module.params["target_arn"]
    found = [
        link
        for link in links
        if link.get("targetArns") == [target] and link.get("status") != "DELETING"
    ]
    diff = {
        "before": {"target_arn": target if found else None},
        "after": {"target_arn": target},
    }
    if not found and module.check_mode:
        module.exit_json(changed=True, vpc_link_id="", diff=diff)
    link = found[0] if found else create(module, client)
    wait(module, client, link)
    module.exit_json(changed=not found, vpc_link_id=link["id"], diff=diff)


def create(module: Any, client: Any) -> dict[str, Any]:
    """Begin to make a link."""
    made: dict[str, Any] = client.create_vpc_link(
        name=module.params["name"],
        targetArns=[module.params["target_arn"]],
        tags=module.params["tags"],
        aws_retry=True,
    )
    return made


def wait(module: Any, client: Any, link: dict[str, Any]) -> None:
    """Return when the link is available; ends the module when it failed or takes too long."""
    deadline = time.monotonic() + module.params["wait_seconds"]
    while link.get("status") != "AVAILABLE":
        if link.get("status") == "FAILED":
            module.fail_json(
                msg=f"VPC link {link['id']} failed: {link.get('statusMessage', 'no reason')}"
            )
        if time.monotonic() > deadline:
            module.fail_json(
                msg=f"VPC link {link['id']} is {link.get('status')} after "
                f"{module.params['wait_seconds']} s"
            )
        time.sleep(module.params["poll_seconds"])
        link = client.get_vpc_link(vpcLinkId=link["id"], aws_retry=True)


def remove(module: Any, client: Any, links: list[dict[str, Any]]) -> None:
    """Remove the links of this name but those to keep, and end."""
    going = [
        link["id"]
        for link in links
        if link["id"] not in module.params["keep"] and link.get("status") != "DELETING"
    ]
    if not module.check_mode:
        for link_id in going:
            client.delete_vpc_link(vpcLinkId=link_id, aws_retry=True)
    module.exit_json(changed=bool(going), removed=going)


if __name__ == "__main__":
    main()
