#!/usr/bin/python
"""Shell commands on an instance by Systems Manager, as an Ansible module.

An act, no resource; no collection sends commands.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: ssm_command
short_description: Run shell commands on an instance by Systems Manager and wait for their end
description:
  - Waits until the agent of the instance is online, sends the commands, and fails unless they
    succeed.
  - Systems Manager keeps the commands and what they print for 30 days, so they must have no
    secret.
options:
  instance_id:
    description: The instance.
    type: str
    required: true
  commands:
    description: Lines of a shell script.
    type: list
    elements: str
    required: true
  comment:
    description: What Systems Manager shows beside the command, at most 100 characters.
    type: str
    default: ""
  online_seconds:
    description: How long the agent of the instance may take to be online.
    type: int
    default: 600
  wait_seconds:
    description: How long the commands may take.
    type: int
    default: 3600
  poll_seconds:
    description: Time between two looks.
    type: float
    default: 5
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Say which system it is
  ssm_command:
    instance_id: i-0123456789abcdef0
    commands: [apiclient get os]
"""

RETURN = r"""
command_id:
  description: Id of the command.
  type: str
  returned: when not in check mode
status:
  description: How it ended, such as C(Success), C(Failed), C(TimedOut).
  type: str
  returned: when not in check mode
stdout:
  description: The first 24,000 characters of what it printed.
  type: str
  returned: when not in check mode
"""

ENDED = ("Success", "Cancelled", "TimedOut", "Failed")


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"required": True},
            "commands": {"type": "list", "elements": "str", "required": True},
            "comment": {"default": ""},
            "online_seconds": {"type": "int", "default": 600},
            "wait_seconds": {"type": "int", "default": 3600},
            "poll_seconds": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    with told(module):
        client = module.client("ssm", retry_decorator=AWSRetry.jittered_backoff())
        wait_online(module, client)
        ended = run(module, client)
        answer = {
            "command_id": ended["CommandId"],
            "status": ended["Status"],
            "stdout": ended.get("StandardOutputContent", ""),
        }
        if ended["Status"] != "Success":
            problem = ended.get("StandardErrorContent", "").strip()[-2000:]
            detail = ended.get("StatusDetails") or ended["Status"]
            where = module.params["instance_id"]
            message = f"the command on {where} ended with {detail}: {problem}"
            module.fail_json(msg=message, **answer)
        module.exit_json(changed=True, **answer)


def wait_online(module: Any, client: Any) -> None:
    """Return when the agent answers; ends the module when it takes too long."""
    instance = module.params["instance_id"]
    deadline = time.monotonic() + module.params["online_seconds"]
    while True:
        found = client.describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance]}], aws_retry=True
        )["InstanceInformationList"]
        if any(each["PingStatus"] == "Online" for each in found):
            return
        if time.monotonic() > deadline:
            module.fail_json(
                msg=f"the agent of {instance} is not online after "
                f"{module.params['online_seconds']} s: has the instance a way to Systems "
                "Manager and ECR (NAT or endpoints) and a role with "
                "AmazonSSMManagedInstanceCore?"
            )
        time.sleep(module.params["poll_seconds"])


def run(module: Any, client: Any) -> dict[str, Any]:
    """Send the commands and give how they ended."""
    given = module.params
    sent = client.send_command(
        InstanceIds=[given["instance_id"]],
        DocumentName="AWS-RunShellScript",
        Comment=given["comment"],
        Parameters={
            # Without it a script goes on after a line that fails.
            "commands": ["set -e", *given["commands"]],
            "executionTimeout": [str(given["wait_seconds"])],
        },
        aws_retry=True,
    )["Command"]["CommandId"]
    deadline = time.monotonic() + given["wait_seconds"] + 60
    while True:
        found = look(client, sent, given["instance_id"])
        if found.get("Status") in ENDED:
            return {"CommandId": sent, **found}
        if time.monotonic() > deadline:
            client.cancel_command(CommandId=sent, aws_retry=True)
            return {"CommandId": sent, "Status": "TimedOut"}
        time.sleep(given["poll_seconds"])


def look(client: Any, command: str, instance: str) -> dict[str, Any]:
    """What is known of the command, which at first may be nothing."""
    try:
        found: dict[str, Any] = client.get_command_invocation(
            CommandId=command, InstanceId=instance, aws_retry=True
        )
    except is_boto3_error_code("InvocationDoesNotExist"):
        return {}
    return found


if __name__ == "__main__":
    main()
