#!/usr/bin/python
"""The hash of an API key of API Gateway, as an Ansible module.

The key is made by CloudFormation, and its value by API Gateway. Ingest needs the value's hash,
which no stack tells, and a collection's module would have to return the value itself.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: apigateway_key
short_description: Read the hash of an API key
options:
  id:
    description: Id of the key; one of I(id) and I(name) is required.
    type: str
  name:
    description: Name of the key.
    type: str
  reveal:
    description: Whether the value is returned; the task then needs C(no_log).
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Read the hash of the clients' key
  apigateway_key:
    id: abcdef1234
"""

RETURN = r"""
sha256:
  description: SHA-256 of the value in hexadecimal digits, as in ingest's file of keys.
  type: str
  returned: always
key_value:
  description: The key.
  type: str
  returned: when reveal is set
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "id": {},
            "name": {},
            "reveal": {"type": "bool", "default": False, "no_log": False},
        },
        required_one_of=[["id", "name"]],
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("apigateway", retry_decorator=AWSRetry.jittered_backoff())
        found = client.get_api_key(
            apiKey=module.params["id"] or named(module, client),
            includeValue=True,
            aws_retry=True,
        )
    value = found["value"]
    shown = {"key_value": value} if module.params["reveal"] else {}
    module.exit_json(changed=False, sha256=hashlib.sha256(value.encode()).hexdigest(), **shown)


def named(module: Any, client: Any) -> str:
    """The id of the key of that name; ends the module if there is not just one."""
    name = module.params["name"]
    pages = client.get_paginator("get_api_keys").paginate(nameQuery=name)
    ids = [key["id"] for page in pages for key in page["items"] if key["name"] == name]
    if len(ids) != 1:
        module.fail_json(msg=f"{len(ids)} API keys are named {name}: {', '.join(ids)}")
    return str(ids[0])


if __name__ == "__main__":
    main()
