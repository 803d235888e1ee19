#!/usr/bin/python
"""An API key of API Gateway, as an Ansible module."""

from __future__ import annotations

import hashlib
from typing import Any

from ansible.module_utils.darkroom_apigateway import named, of_ours, set_tags
from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: apigateway_key
short_description: Make, find or remove an API key
description:
  - API Gateway makes the value. It is returned only with O(reveal); the task then needs C(no_log).
options:
  name:
    description: Name of the key.
    type: str
    required: true
  tags:
    description: Tags of the key; others stay.
    type: dict
    default: {}
  reveal:
    description: Whether the value is returned.
    type: bool
    default: false
  state:
    description: Whether the key is there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make the key of the clients
  apigateway_key:
    name: sdoneks
"""

RETURN = r"""
key_id:
  description: Id of the key; empty in check mode for one that is not there yet.
  type: str
  returned: when state is present
sha256:
  description: SHA-256 of the value in hexadecimal digits, as in ingest's file of keys.
  type: str
  returned: when state is present
key_value:
  description: The key.
  type: str
  returned: when reveal is set
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"required": True},
            "tags": {"type": "dict", "default": {}},
            "reveal": {"type": "bool", "default": False, "no_log": False},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("apigateway", retry_decorator=AWSRetry.jittered_backoff())
        found = named(module, client, "get_api_keys", module.params["name"])
        if module.params["state"] == "absent":
            if found and not module.check_mode:
                client.delete_api_key(apiKey=found["id"], aws_retry=True)
            module.exit_json(changed=found is not None)
        make(module, client, found)


def make(module: Any, client: Any, found: dict[str, Any] | None) -> None:
    """Find or make the key, and end."""
    name, tags = module.params["name"], module.params["tags"]
    before = {"name": name, "tags": of_ours(found.get("tags"), tags)} if found else {}
    after = {"name": name, "tags": tags}
    diff = {"before": before, "after": after}
    changed = before != after
    if changed and not module.check_mode:
        if found:
            set_tags(client, f"apikeys/{found['id']}", found.get("tags"), tags)
        else:
            found = client.create_api_key(name=name, enabled=True, tags=tags, aws_retry=True)
    module.exit_json(changed=changed, diff=diff, **answer(module, client, found))


def answer(module: Any, client: Any, found: dict[str, Any] | None) -> dict[str, str]:
    """Give what the module returns of the key."""
    if found is None:
        return {"key_id": "", "sha256": ""}
    key = client.get_api_key(apiKey=found["id"], includeValue=True, aws_retry=True)
    key_told = {
        "key_id": key["id"],
        "sha256": hashlib.sha256(key["value"].encode()).hexdigest(),
    }
    return key_told | ({"key_value": key["value"]} if module.params["reveal"] else {})


if __name__ == "__main__":
    main()
