#!/usr/bin/python
"""Ansible module: an add-on of an EKS cluster."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any

from ansible.module_utils.aws_calls import AwsCalls, Resource, user_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
---
module: eks_addon
short_description: Install, update or remove an add-on of an EKS cluster
description:
  - Leaves an add-on as it is when version, configuration and tags are as asked.
options:
  cluster_name:
    description: Name of the cluster.
    type: str
    required: true
  name:
    description: Name of the add-on, as C(vpc-cni).
    type: str
    required: true
  version:
    description:
      - V(most_recent) or V(default) of those that suit the cluster's Kubernetes, or a version.
      - With C(x), such as V(v2.x), the most recent that begins so.
      - Unset or empty, EKS chooses when it installs the add-on, and an installed one is kept.
    type: str
  configuration:
    description: Configuration of the add-on, in the form of its own schema.
    type: dict
    default: {}
  resolve_conflicts:
    description: What to do with settings that somebody changed in the cluster.
    type: str
    choices: [none, overwrite, preserve]
    default: overwrite
  tags:
    description: All tags of the add-on; unset, they are left alone.
    type: dict
  state:
    description: Whether the add-on shall be there.
    type: str
    choices: [present, absent]
    default: present
  wait:
    description: Wait until the add-on is active, or gone.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 1200
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author: Darkroom
"""

EXAMPLES = r"""
- name: Enforce network policies
  eks_addon:
    cluster_name: darkroom
    name: vpc-cni
    version: most_recent
    configuration:
      enableNetworkPolicy: "true"
"""

RETURN = r"""
addon_arn:
  description: ARN of the add-on.
  returned: when the add-on is there
  type: str
addon_version:
  description: Version that is installed.
  returned: when the add-on is there
  type: str
status:
  description: What EKS says of it.
  returned: when the add-on is there
  type: str
"""


class Addon(Resource):
    """One add-on, as it is and as it shall be."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.eks = AwsCalls(module, "eks")
        self.names = {
            "clusterName": self.asked["cluster_name"],
            "addonName": self.asked["name"],
        }

    def find(self) -> dict[str, Any] | None:
        """The add-on as it is."""
        answer = self.eks.find("describe_addon", **self.names)
        return answer["addon"] if answer else None

    def managed(self, found: dict[str, Any]) -> dict[str, Any]:
        """The part that this module may change."""
        part = {
            "version": found["addonVersion"],
            "configuration": json.loads(found.get("configurationValues") or "{}"),
        }
        if self.asked["tags"] is not None:
            part["tags"] = user_tags(found.get("tags", {}))
        return part

    def wanted(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """That part as it shall be."""
        part = {
            "version": self.version or (found["addonVersion"] if found else None),
            "configuration": self.asked["configuration"],
        }
        if self.asked["tags"] is not None:
            part["tags"] = self.asked["tags"]
        return part

    @cached_property
    def version(self) -> str | None:
        """The version to install; None lets EKS choose."""
        asked: str = self.asked["version"] or ""
        if asked not in {"most_recent", "default"} and not asked.endswith(".x"):
            return asked or None
        cluster = self.eks.find("describe_cluster", name=self.asked["cluster_name"])
        if cluster is None:
            return None  # the cluster is not there yet: a check before the first run
        answer = self.eks.call(
            "describe_addon_versions",
            addonName=self.asked["name"],
            kubernetesVersion=cluster["cluster"]["version"],
        )
        versions = [each for addon in answer["addons"] for each in addon["addonVersions"]]
        if asked == "default":
            versions = [
                each
                for each in versions
                if any(fit.get("defaultVersion") for fit in each["compatibilities"])
            ]
        names: list[str] = [each["addonVersion"] for each in versions]
        if asked.endswith(".x"):
            names = [name for name in names if name.startswith(asked.removesuffix("x"))]
        if not names:
            name = self.asked["name"]
            self.module.fail_json(msg=f"{name} has no version {asked} for this cluster")
        return max(names, key=_numbers)

    def apply(self, found: dict[str, Any] | None) -> dict[str, Any] | None:
        """Install or update the add-on, and give it as it is then."""
        arguments = {
            **self.names,
            "configurationValues": json.dumps(self.asked["configuration"], sort_keys=True),
            "resolveConflicts": self.asked["resolve_conflicts"].upper(),
        }
        if version := self.version:
            arguments["addonVersion"] = version
        if found is None:
            arguments["tags"] = self.asked["tags"] or {}
            self.eks.call("create_addon", **arguments)
        else:
            before, after = self.managed(found), self.wanted(found)
            if before | {"tags": None} != after | {"tags": None}:
                update = self.eks.call("update_addon", **arguments)["update"]
                if self.asked["wait"]:
                    self.eks.finish(
                        update,
                        self.asked["wait_timeout"],
                        name=self.asked["cluster_name"],
                        addonName=self.asked["name"],
                    )
            self.eks.tag(found["addonArn"], found.get("tags", {}), self.asked["tags"])
        if self.asked["wait"]:
            self.eks.wait("addon_active", self.asked["wait_timeout"], **self.names)
        return self.find()

    def remove(self) -> None:
        """Remove the add-on and what it runs."""
        self.eks.call("delete_addon", **self.names)
        if self.asked["wait"]:
            self.eks.wait("addon_deleted", self.asked["wait_timeout"], **self.names)


def _numbers(version: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", version)]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "cluster_name": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "version": {"type": "str"},
            "configuration": {"type": "dict", "default": {}},
            "resolve_conflicts": {
                "type": "str",
                "choices": ["none", "overwrite", "preserve"],
                "default": "overwrite",
            },
            "tags": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 1200},
        },
        supports_check_mode=True,
    )
    Addon(module).settle()


if __name__ == "__main__":
    main()
