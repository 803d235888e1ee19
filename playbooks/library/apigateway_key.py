#!/usr/bin/python
"""An API key of API Gateway, as an Ansible module."""

from __future__ import annotations

import hashlib
from typing import Any

from ansible.module_utils.darkroom_apigateway import named, set_tags, tags_of
from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: apigateway_key
short_description: Make, find or remove an API key
description:
  - The value is that of a secret, or API Gateway makes one. It is never in an argument, and is
    returned only with O(reveal); the task then needs C(no_log).
  - A key whose value is not that of the secret is made again, since its value cannot change.
options:
  name:
    description: Name of the key.
    type: str
    required: true
  secret:
    description: Name or ARN of a secret of Secrets Manager that has the value.
    type: str
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
            "secret": {"no_log": False},
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
    name, tags, wanted = module.params["name"], module.params["tags"], secret_of(module)
    value = value_of(client, found)
    tags_before = tags_of(client, f"apikeys/{found['id']}", tags) if found else {}
    before = {"name": name, "tags": tags_before, "sha256": hashed(value)} if found else {}
    after = {"name": name, "tags": tags, "sha256": hashed(wanted or value)}
    changed = before != after
    if changed and not module.check_mode:
        if found and wanted and value != wanted:
            client.delete_api_key(apiKey=found["id"], aws_retry=True)
            found = None
        found = found or create(client, name, tags, wanted)
        set_tags(client, f"apikeys/{found['id']}", tags)
        value = value_of(client, found)
    answer = {"key_id": found["id"] if found else "", "sha256": hashed(value)}
    if module.params["reveal"]:
        answer["key_value"] = value
    module.exit_json(changed=changed, diff={"before": before, "after": after}, **answer)


def create(client: Any, name: str, tags: dict[str, str], value: str) -> dict[str, Any]:
    """Make a key with this value, or with one of API Gateway's."""
    given = {"value": value} if value else {}
    made: dict[str, Any] = client.create_api_key(
        name=name, enabled=True, tags=tags, aws_retry=True, **given
    )
    return made


def secret_of(module: Any) -> str:
    """The value of the secret; empty without one, or in check mode if it is not there."""
    if not module.params["secret"]:
        return ""
    client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())
    try:
        found = client.get_secret_value(SecretId=module.params["secret"], aws_retry=True)
    except is_boto3_error_code("ResourceNotFoundException"):
        if module.check_mode:
            return ""
        module.fail_json(msg=f"there is no secret {module.params['secret']}")
    return str(found["SecretString"])


def value_of(client: Any, key: dict[str, Any] | None) -> str:
    """The value of a key, or nothing if there is no key."""
    if key is None:
        return ""
    found = client.get_api_key(apiKey=key["id"], includeValue=True, aws_retry=True)
    return str(found["value"])


def hashed(value: str) -> str:
    """What may be shown of a value."""
    return hashlib.sha256(value.encode()).hexdigest() if value else ""


if __name__ == "__main__":
    main()
