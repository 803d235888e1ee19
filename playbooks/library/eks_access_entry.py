#!/usr/bin/python
"""The way of a person or a role into an EKS cluster, as an Ansible module.

Whoever deploys is let in. The list of a stack is complete, so a second deployer would shut
out the first; and no collection's module makes access entries.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: eks_access_entry
short_description: Let somebody into an EKS cluster
description:
  - Makes an access entry, if there is none, and gives it a policy for the whole cluster. Other
    entries and other policies of the entry stay.
options:
  cluster_name:
    description: Name of the cluster. In check mode it may not be there yet.
    type: str
    required: true
  principal_arn:
    description: ARN of an IAM role or user.
    type: str
    required: true
  policy:
    description: ARN of a policy of EKS.
    type: str
    required: true
  tags:
    description: Tags of an entry that is made.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author: Darkroom
"""

EXAMPLES = r"""
- name: Let a role do everything
  eks_access_entry:
    cluster_name: sdoneks
    principal_arn: arn:aws:iam::123456789012:role/admins
    policy: arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy
"""

RETURN = r"""
policies:
  description: ARNs of the policies that the entry has for the whole cluster.
  returned: always
  type: list
  elements: str
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "cluster_name": {"type": "str", "required": True},
            "principal_arn": {"type": "str", "required": True},
            "policy": {"type": "str", "required": True},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("eks", retry_decorator=AWSRetry.jittered_backoff())
        before = policies(module, client)
        after = sorted({*(before or []), module.params["policy"]})
        if before != after and not module.check_mode:
            let_in(module, client, is_new=before is None)
    diff = {"before": before or [], "after": after}
    module.exit_json(changed=before != after, policies=after, diff=diff)


def names(module: Any) -> dict[str, str]:
    """The entry as EKS knows it."""
    given = module.params
    return {"clusterName": given["cluster_name"], "principalArn": given["principal_arn"]}


def policies(module: Any, client: Any) -> list[str] | None:
    """The policies that the entry has for the whole cluster; None without an entry."""
    try:
        answer = client.list_associated_access_policies(**names(module), aws_retry=True)
    except is_boto3_error_code("ResourceNotFoundException"):
        return None
    found = answer["associatedAccessPolicies"]
    return sorted(
        each["policyArn"] for each in found if each["accessScope"]["type"] == "cluster"
    )


def let_in(module: Any, client: Any, *, is_new: bool) -> None:
    """Make the entry, if it is new, and give it the policy."""
    if is_new:
        client.create_access_entry(**names(module), tags=module.params["tags"], aws_retry=True)
    client.associate_access_policy(
        **names(module),
        policyArn=module.params["policy"],
        accessScope={"type": "cluster"},
        aws_retry=True,
    )


if __name__ == "__main__":
    main()
