#!/usr/bin/python
"""Logging a tool in to ECR, as an Ansible module.

A password is no resource, and no collection's module hands one to a tool by its input.
"""

from __future__ import annotations

import base64
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: ecr_login
short_description: Log a container engine or Helm in to ECR
description:
  - The password, which is good for 12 hours, goes to the tool's standard input. It is in no
    argument, on no command line and in no result.
options:
  command:
    description: What logs in, without the password, as C([docker, login]).
    type: list
    elements: str
    required: true
  host:
    description: Host of the registry.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Log Docker in
  ecr_login:
    command: [docker, login]
    host: 123456789012.dkr.ecr.us-east-1.amazonaws.com
"""

RETURN = r"""
host:
  description: Host of the registry.
  type: str
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "host": {"required": True},
        },
        supports_check_mode=True,
    )
    host = module.params["host"]
    if not module.check_mode:
        with told(module):
            login(module, host)
    module.exit_json(changed=False, host=host)


def login(module: Any, host: str) -> None:
    """Run the tool with the password on its standard input."""
    client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
    token = client.get_authorization_token(aws_retry=True)["authorizationData"][0]
    user, _, password = base64.b64decode(token["authorizationToken"]).decode().partition(":")
    command = [*module.params["command"], "--username", user, "--password-stdin", host]
    status, _, errors = module.run_command(command, data=password, binary_data=True)
    if status:
        module.fail_json(msg=f"login to {host} failed: {errors.strip()[-500:]}")


if __name__ == "__main__":
    main()
