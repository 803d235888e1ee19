#!/usr/bin/python
"""Ansible module: which IAM role a Kubernetes service account has."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.aws_calls import AwsCalls, Resource, user_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
---
module: eks_pod_identity_association
short_description: Give a Kubernetes service account an IAM role by EKS Pod Identity
description:
  - One association for each service account of a cluster, found by namespace and name.
  - The namespace and the service account need not exist yet.
options:
  cluster_name:
    description: Name of the cluster.
    type: str
    required: true
  namespace:
    description: Namespace of the service account.
    type: str
    required: true
  service_account:
    description: Name of the service account.
    type: str
    required: true
  role_arn:
    description: ARN of the role that its pods get.
    type: str
  tags:
    description: All tags of the association; unset, they are left alone.
    type: dict
  state:
    description: Whether the association shall be there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author: Darkroom
"""

EXAMPLES = r"""
- name: Let the router use its role
  eks_pod_identity_association:
    cluster_name: darkroom
    namespace: darkroom
    service_account: router
    role_arn: arn:aws:iam::123456789012:role/darkroom-us-east-1-router
"""

RETURN = r"""
association_id:
  description: Id of the association.
  returned: when it is there
  type: str
association_arn:
  description: ARN of the association.
  returned: when it is there
  type: str
role_arn:
  description: Role that the pods get.
  returned: when it is there
  type: str
"""


class Association(Resource):
    """One association, as it is and as it shall be."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.eks = AwsCalls(module, "eks")
        self.account = {
            "clusterName": self.asked["cluster_name"],
            "namespace": self.asked["namespace"],
            "serviceAccount": self.asked["service_account"],
        }

    def find(self) -> dict[str, Any] | None:
        """The association as it is."""
        listed = self.eks.items(
            "list_pod_identity_associations", "associations", **self.account
        )
        for each in listed:
            answer = self.eks.find("describe_pod_identity_association", **self.id_of(each))
            return answer["association"] if answer else None
        return None

    def managed(self, found: dict[str, Any]) -> dict[str, Any]:
        """The part that this module may change."""
        part: dict[str, Any] = {"role_arn": found["roleArn"]}
        if self.asked["tags"] is not None:
            part["tags"] = user_tags(found.get("tags", {}))
        return part

    def wanted(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """That part as it shall be."""
        part: dict[str, Any] = {"role_arn": self.asked["role_arn"]}
        if self.asked["tags"] is not None:
            part["tags"] = self.asked["tags"]
        return part

    def apply(self, found: dict[str, Any] | None) -> dict[str, Any] | None:
        """Make or change the association, and give it as it is then."""
        role = self.asked["role_arn"]
        if found is None:
            self.eks.call_with_new_role(
                "create_pod_identity_association",
                **self.account,
                roleArn=role,
                tags=self.asked["tags"] or {},
            )
            return self.find()
        if found["roleArn"] != role:
            self.eks.call_with_new_role(
                "update_pod_identity_association", **self.id_of(found), roleArn=role
            )
        self.eks.tag(found["associationArn"], found.get("tags", {}), self.asked["tags"])
        return self.find()

    def remove(self) -> None:
        """Take the role away; pods that run keep their credentials until they expire."""
        if found := self.find():
            self.eks.call("delete_pod_identity_association", **self.id_of(found))

    def id_of(self, found: dict[str, Any]) -> dict[str, str]:
        """What names an association to EKS."""
        return {
            "clusterName": self.asked["cluster_name"],
            "associationId": found["associationId"],
        }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "cluster_name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            "service_account": {"type": "str", "required": True},
            "role_arn": {"type": "str"},
            "tags": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["role_arn"])],
        supports_check_mode=True,
    )
    Association(module).settle()


if __name__ == "__main__":
    main()
