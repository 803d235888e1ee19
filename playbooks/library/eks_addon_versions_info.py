#!/usr/bin/python
"""The versions of add-ons that EKS would install, as an Ansible module.

CloudFormation takes a version or none, and has no word for the most recent one; no collection
asks EKS which there are.
"""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: eks_addon_versions_info
short_description: Find the versions of add-ons that suit a version of Kubernetes
options:
  kubernetes_version:
    description: Version of Kubernetes.
    type: str
    required: true
  addons:
    description:
      - Name of each add-on to what is wanted; empty for the most recent version, C(v2.x) for
        the most recent that begins so. Any other version is taken as it is.
    type: dict
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author: Darkroom
"""

EXAMPLES = r"""
- name: Find the newest versions
  eks_addon_versions_info:
    kubernetes_version: "1.35"
    addons: {coredns: "", aws-mountpoint-s3-csi-driver: v2.x}
"""

RETURN = r"""
versions:
  description: Name of each add-on to its version.
  returned: always
  type: dict
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "kubernetes_version": {"type": "str", "required": True},
            "addons": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("eks", retry_decorator=AWSRetry.jittered_backoff())
        versions = {
            name: wanted if exact(wanted) else newest(module, client, name, wanted)
            for name, wanted in module.params["addons"].items()
        }
    module.exit_json(changed=False, versions=versions)


def exact(wanted: str) -> bool:
    """Whether what is wanted is a version, and not the beginning of one."""
    return bool(wanted) and not wanted.endswith(".x")


def newest(module: Any, client: Any, name: str, wanted: str) -> str:
    """The most recent version of an add-on; ends the module if none is as it is wanted."""
    cluster = module.params["kubernetes_version"]
    answer = client.describe_addon_versions(
        addonName=name, kubernetesVersion=cluster, aws_retry=True
    )
    found: list[str] = [
        each["addonVersion"] for addon in answer["addons"] for each in addon["addonVersions"]
    ]
    fitting = [version for version in found if version.startswith(wanted.removesuffix("x"))]
    if not fitting:
        module.fail_json(msg=f"{name} has no version {wanted} for Kubernetes {cluster}")
    return max(
        fitting, key=lambda version: [int(digits) for digits in re.findall(r"\d+", version)]
    )


if __name__ == "__main__":
    main()
