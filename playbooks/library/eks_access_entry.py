#!/usr/bin/python
"""Ansible module: what an IAM principal may do in a cluster's Kubernetes."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.aws_calls import AwsCalls, Resource, user_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
---
module: eks_access_entry
short_description: Let an IAM principal into an EKS cluster
description:
  - Manages the entry and the access policies that are associated with it, exactly.
options:
  cluster_name:
    description: Name of the cluster, which uses the authentication mode C(API).
    type: str
    required: true
  principal_arn:
    description: ARN of an IAM role or user.
    type: str
    required: true
  type:
    description:
      - V(STANDARD) for people and programs, the others for nodes.
      - It cannot be changed; remove the entry first.
    type: str
    choices: [STANDARD, EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, EC2, HYBRID_LINUX]
    default: STANDARD
  kubernetes_groups:
    description: Groups of Kubernetes that the principal is in; unset, they are left alone.
    type: list
    elements: str
  policies:
    description: Access policies of EKS; only an entry of type V(STANDARD) can have any.
    type: list
    elements: dict
    default: []
    suboptions:
      arn:
        description: ARN of the access policy.
        type: str
        required: true
      namespaces:
        description: Namespaces that it holds in; none for the whole cluster.
        type: list
        elements: str
        default: []
  tags:
    description: All tags of the entry; unset, they are left alone.
    type: dict
  state:
    description: Whether the entry shall be there.
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
- name: Let the deployer do everything
  eks_access_entry:
    cluster_name: darkroom
    principal_arn: arn:aws:iam::123456789012:role/deployer
    policies:
      - arn: arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy

- name: Let nodes join
  eks_access_entry:
    cluster_name: darkroom
    principal_arn: arn:aws:iam::123456789012:role/darkroom-us-east-1-karpenter-node
    type: EC2_LINUX
"""

RETURN = r"""
access_entry_arn:
  description: ARN of the entry.
  returned: when it is there
  type: str
"""


Scopes = dict[str, list[str]]  # policy to its namespaces; none is the whole cluster


class AccessEntry(Resource):
    """One entry, as it is and as it shall be."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.eks = AwsCalls(module, "eks")
        self.names = {
            "clusterName": self.asked["cluster_name"],
            "principalArn": self.asked["principal_arn"],
        }

    def find(self) -> dict[str, Any] | None:
        """The entry as it is."""
        answer = self.eks.find("describe_access_entry", **self.names)
        return answer["accessEntry"] if answer else None

    def refuse(self, found: dict[str, Any]) -> None:
        """End the module if something differs that EKS cannot change."""
        if found["type"] != self.asked["type"]:
            self.module.fail_json(
                msg=f"the entry has the type {found['type']}, which cannot be changed"
            )

    def managed(self, found: dict[str, Any]) -> dict[str, Any]:
        """The part that this module may change."""
        listed = self.eks.items(
            "list_associated_access_policies", "associatedAccessPolicies", **self.names
        )
        scopes = {
            each["policyArn"]: sorted(each["accessScope"].get("namespaces", []))
            for each in listed
        }
        part: dict[str, Any] = {"policies": scopes}
        if self.asked["kubernetes_groups"] is not None:
            part["kubernetes_groups"] = sorted(found.get("kubernetesGroups", []))
        if self.asked["tags"] is not None:
            part["tags"] = user_tags(found.get("tags", {}))
        return part

    def wanted(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """That part as it shall be."""
        scopes = {each["arn"]: sorted(each["namespaces"]) for each in self.asked["policies"]}
        part: dict[str, Any] = {"policies": scopes}
        if self.asked["kubernetes_groups"] is not None:
            part["kubernetes_groups"] = sorted(self.asked["kubernetes_groups"])
        if self.asked["tags"] is not None:
            part["tags"] = self.asked["tags"]
        return part

    def apply(self, found: dict[str, Any] | None) -> dict[str, Any] | None:
        """Make or change the entry, and give it as it is then."""
        before = self.managed(found) if found else {"policies": {}}
        wanted, groups = self.wanted(found), self.asked["kubernetes_groups"]
        if found is None:
            extra = {"kubernetesGroups": groups} if groups else {}
            self.eks.call_with_new_role(
                "create_access_entry",
                **self.names,
                **extra,
                type=self.asked["type"],
                tags=self.asked["tags"] or {},
            )
        else:
            if before.get("kubernetes_groups") != wanted.get("kubernetes_groups"):
                self.eks.call("update_access_entry", **self.names, kubernetesGroups=groups)
            self.eks.tag(found["accessEntryArn"], found.get("tags", {}), self.asked["tags"])
        self.associate(before["policies"], wanted["policies"])
        return self.find()

    def associate(self, before: Scopes, after: Scopes) -> None:
        """Let the entry have exactly these policies."""
        for policy in set(before) - set(after):
            self.eks.call("disassociate_access_policy", **self.names, policyArn=policy)
        for policy, namespaces in after.items():
            if before.get(policy) != namespaces:
                kind = "namespace" if namespaces else "cluster"
                self.eks.call(
                    "associate_access_policy",
                    **self.names,
                    policyArn=policy,
                    accessScope={"type": kind, "namespaces": namespaces},
                )

    def remove(self) -> None:
        """Shut the principal out."""
        self.eks.call("delete_access_entry", **self.names)


def main() -> None:
    """Run the module."""
    policy = {
        "arn": {"type": "str", "required": True},
        "namespaces": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleAWSModule(
        argument_spec={
            "cluster_name": {"type": "str", "required": True},
            "principal_arn": {"type": "str", "required": True},
            "type": {
                "type": "str",
                "choices": [
                    "STANDARD",
                    "EC2_LINUX",
                    "EC2_WINDOWS",
                    "FARGATE_LINUX",
                    "EC2",
                    "HYBRID_LINUX",
                ],
                "default": "STANDARD",
            },
            "kubernetes_groups": {"type": "list", "elements": "str"},
            "policies": {"type": "list", "elements": "dict", "default": [], "options": policy},
            "tags": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    AccessEntry(module).settle()


if __name__ == "__main__":
    main()
