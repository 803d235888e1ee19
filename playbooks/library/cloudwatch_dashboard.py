#!/usr/bin/python
"""A dashboard of CloudWatch, as an Ansible module."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: cloudwatch_dashboard
short_description: Make or remove a dashboard
options:
  name:
    description: Name of the dashboard.
    type: str
    required: true
  body:
    description: The dashboard with its C(widgets). Required to make a dashboard.
    type: dict
  state:
    description: Whether the dashboard is there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a dashboard
  cloudwatch_dashboard:
    name: sdoneks
    body: "{{ lookup('ansible.builtin.template', 'dashboard.json.j2') | from_json }}"
"""

RETURN = r"""
dashboard:
  description: Name of the dashboard.
  type: str
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"required": True},
            "body": {"type": "dict"},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["body"])],
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff())
        name = module.params["name"]
        before = body_of(client, name)
        after = module.params["body"] if module.params["state"] == "present" else None
        if before != after and not module.check_mode:
            change(module, client, after)
        diff = {"before": before or {}, "after": after or {}}
        module.exit_json(changed=before != after, diff=diff, dashboard=name)


def body_of(client: Any, name: str) -> Any:
    """The dashboard as it is, or None."""
    try:
        found = client.get_dashboard(DashboardName=name, aws_retry=True)
    except is_boto3_error_code(["ResourceNotFound", "DashboardNotFoundError"]):
        return None
    return json.loads(found["DashboardBody"])


def change(module: Any, client: Any, body: dict[str, Any] | None) -> None:
    """Write or remove the dashboard; ends the module when CloudWatch finds it wrong."""
    name = module.params["name"]
    if body is None:
        client.delete_dashboards(DashboardNames=[name], aws_retry=True)
        return
    text = json.dumps(body, sort_keys=True)
    answer = client.put_dashboard(DashboardName=name, DashboardBody=text, aws_retry=True)
    for message in answer.get("DashboardValidationMessages", []):
        module.warn(f"{name}: {message.get('DataPath')}: {message.get('Message')}")


if __name__ == "__main__":
    main()
