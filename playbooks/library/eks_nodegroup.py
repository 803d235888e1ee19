#!/usr/bin/python
"""Ansible module: a managed node group of an EKS cluster."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.aws_calls import AwsCalls, Resource, user_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
---
module: eks_nodegroup
short_description: Make, change or remove a managed node group of an EKS cluster
description:
  - Changes size, labels, taints, launch template version and Kubernetes version in place.
  - Role, subnets, instance types and the kind of image cannot be changed later, which ends the
    module.
options:
  cluster_name:
    description: Name of the cluster.
    type: str
    required: true
  name:
    description: Name of the node group.
    type: str
    required: true
  role_arn:
    description: ARN of the role of the nodes.
    type: str
  subnet_ids:
    description: Subnets of the nodes.
    type: list
    elements: str
  instance_types:
    description: Instance types of the nodes.
    type: list
    elements: str
  ami_type:
    description: Kind of image, as EKS names it, for example C(AL2023_x86_64_STANDARD).
    type: str
    default: AL2023_x86_64_STANDARD
  size:
    description:
      - How many nodes there are. C(desired) holds for a new group only, since an autoscaler or
        a person may have changed it later, unless it is out of bounds.
    type: dict
    suboptions:
      min:
        description: Fewest.
        type: int
        required: true
      max:
        description: Most.
        type: int
        required: true
      desired:
        description: At first.
        type: int
        required: true
  launch_template:
    description: Launch template of the nodes.
    type: dict
    suboptions:
      id:
        description: Id of the template.
        type: str
        required: true
      version:
        description: Number of its version.
        type: str
        required: true
  version:
    description: Version of Kubernetes; unset, the cluster's at first, and later what there is.
    type: str
  labels:
    description: All labels of the nodes that this group sets.
    type: dict
    default: {}
  taints:
    description: All taints of the nodes that this group sets.
    type: list
    elements: dict
    default: []
    suboptions:
      key:
        description: Key of the taint.
        type: str
        required: true
      value:
        description: Value of the taint.
        type: str
        default: ""
      effect:
        description: Effect of the taint.
        type: str
        choices: [NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE]
        required: true
  tags:
    description: All tags of the group; unset, they are left alone.
    type: dict
  state:
    description: Whether the group shall be there.
    type: str
    choices: [present, absent]
    default: present
  wait:
    description: Wait until the group is active, or gone.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most, for each step.
    type: int
    default: 2400
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author: Darkroom
"""

EXAMPLES = r"""
- name: Have two small nodes
  eks_nodegroup:
    cluster_name: darkroom
    name: services
    role_arn: arn:aws:iam::123456789012:role/darkroom-us-east-1-node
    subnet_ids: [subnet-0a1b2c3d, subnet-4e5f6a7b]
    instance_types: [m7i.large]
    size: {min: 2, max: 4, desired: 2}
"""

RETURN = r"""
nodegroup_arn:
  description: ARN of the group.
  returned: when the group is there
  type: str
status:
  description: What EKS says of it.
  returned: when the group is there
  type: str
"""

Part = dict[str, Any]


class NodeGroup(Resource):
    """One node group, as it is and as it shall be."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.eks = AwsCalls(module, "eks")
        cluster, name = self.asked["cluster_name"], self.asked["name"]
        self.names = {"clusterName": cluster, "nodegroupName": name}
        self.patience = self.asked["wait_timeout"]

    def find(self) -> Part | None:
        """The group as it is."""
        answer = self.eks.find("describe_nodegroup", **self.names)
        return answer["nodegroup"] if answer else None

    def refuse(self, found: Part) -> None:
        """End the module if something differs that EKS cannot change."""
        pairs = {
            "role_arn": (found["nodeRole"], self.asked["role_arn"]),
            "subnet_ids": (sorted(found["subnets"]), sorted(self.asked["subnet_ids"])),
            "ami_type": (found["amiType"], self.asked["ami_type"]),
            "instance_types": (found["instanceTypes"], self.asked["instance_types"]),
        }
        wrong = [name for name, (old, new) in pairs.items() if old != new]
        if wrong:
            self.module.fail_json(msg=f"a node group's {', '.join(wrong)} cannot be changed")

    def managed(self, found: Part) -> Part:
        """The part that this module may change."""
        template = found.get("launchTemplate")
        part = {
            "scaling": found["scalingConfig"],
            "version": found["version"],
            "labels": found.get("labels") or {},
            "taints": _ordered(found.get("taints") or []),
            "launch_template": template["version"] if template else self.template_version(),
        }
        if self.asked["tags"] is not None:
            part["tags"] = user_tags(found.get("tags", {}))
        return part

    def wanted(self, found: Part | None) -> Part:
        """That part as it shall be."""
        part = {
            "scaling": self.scaling(found),
            "version": self.asked["version"] or (found["version"] if found else None),
            "labels": self.asked["labels"],
            "taints": _ordered(self.asked["taints"]),
            "launch_template": self.template_version(),
        }
        if self.asked["tags"] is not None:
            part["tags"] = self.asked["tags"]
        return part

    def scaling(self, found: Part | None) -> dict[str, int]:
        """The size as EKS takes it, with as many nodes as there are if that may be."""
        size = self.asked["size"]
        now = found["scalingConfig"]["desiredSize"] if found else size["desired"]
        return {
            "minSize": size["min"],
            "maxSize": size["max"],
            "desiredSize": min(max(now, size["min"]), size["max"]),
        }

    def template_version(self) -> str | None:
        """The version of the launch template that is asked for."""
        template = self.asked["launch_template"]
        return template["version"] if template else None

    def apply(self, found: Part | None) -> Part | None:
        """Make or change the group, and give it as it is then."""
        if found is None:
            self.create()
        else:
            self.change(self.managed(found), self.wanted(found))
            self.eks.tag(found["nodegroupArn"], found.get("tags", {}), self.asked["tags"])
        if self.asked["wait"]:
            self.eks.wait("nodegroup_active", self.patience, **self.names)
        return self.find()

    def create(self) -> None:
        """Make the group."""
        extra: Part = {}
        if self.asked["version"]:
            extra["version"] = self.asked["version"]
        if self.asked["launch_template"]:
            extra["launchTemplate"] = self.asked["launch_template"]
        self.eks.call_with_new_role(
            "create_nodegroup",
            **self.names,
            nodeRole=self.asked["role_arn"],
            subnets=self.asked["subnet_ids"],
            instanceTypes=self.asked["instance_types"],
            amiType=self.asked["ami_type"],
            scalingConfig=self.scaling(None),
            labels=self.asked["labels"],
            taints=self.asked["taints"],
            tags=self.asked["tags"] or {},
            **extra,
        )

    def change(self, before: Part, after: Part) -> None:
        """Change what differs; EKS takes one kind of change at a time."""
        config = self.config(before, after)
        if config:
            self.update("update_nodegroup_config", **config)
        release: Part = {}
        if before["version"] != after["version"]:
            release["version"] = after["version"]
        if before["launch_template"] != after["launch_template"]:
            release["launchTemplate"] = self.asked["launch_template"]
        if release:
            self.update("update_nodegroup_version", **release)

    def config(self, before: Part, after: Part) -> Part:
        """What differs in size, labels and taints, as EKS takes it."""
        config: Part = {}
        if before["scaling"] != after["scaling"]:
            config["scalingConfig"] = after["scaling"]
        if before["labels"] != after["labels"]:
            config["labels"] = {
                "addOrUpdateLabels": after["labels"],
                "removeLabels": sorted(set(before["labels"]) - set(after["labels"])),
            }
        if before["taints"] != after["taints"]:
            config["taints"] = {
                "addOrUpdateTaints": after["taints"],
                "removeTaints": [each for each in before["taints"] if not _kept(each, after)],
            }
        return config

    def update(self, operation: str, **arguments: Any) -> None:
        """Make one change and wait for its end, which the next one needs."""
        answer = self.eks.call(operation, **self.names, **arguments)
        self.eks.finish(
            answer["update"],
            self.patience,
            name=self.names["clusterName"],
            nodegroupName=self.names["nodegroupName"],
        )

    def remove(self) -> None:
        """Drain the nodes and remove them."""
        self.eks.call("delete_nodegroup", **self.names)
        if self.asked["wait"]:
            self.eks.wait("nodegroup_deleted", self.patience, **self.names)


def _ordered(taints: list[dict[str, str]]) -> list[dict[str, str]]:
    filled = [{"value": "", **taint} for taint in taints]
    return sorted(filled, key=lambda taint: (taint["key"], taint["effect"]))


def _kept(taint: dict[str, str], after: Part) -> bool:
    # A taint is known by key and effect; one with a new value is updated.
    names = {(each["key"], each["effect"]) for each in after["taints"]}
    return (taint["key"], taint["effect"]) in names


def main() -> None:
    """Run the module."""
    number = {"type": "int", "required": True}
    text = {"type": "str", "required": True}
    effects = ["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"]
    taint = {
        "key": {"type": "str", "required": True, "no_log": False},
        "value": {"type": "str", "default": ""},
        "effect": {"type": "str", "required": True, "choices": effects},
    }
    module = AnsibleAWSModule(
        argument_spec={
            "cluster_name": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "role_arn": {"type": "str"},
            "subnet_ids": {"type": "list", "elements": "str"},
            "instance_types": {"type": "list", "elements": "str"},
            "ami_type": {"type": "str", "default": "AL2023_x86_64_STANDARD"},
            "size": {
                "type": "dict",
                "options": {"min": number, "max": number, "desired": number},
            },
            "launch_template": {"type": "dict", "options": {"id": text, "version": text}},
            "version": {"type": "str"},
            "labels": {"type": "dict", "default": {}},
            "taints": {"type": "list", "elements": "dict", "default": [], "options": taint},
            "tags": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 2400},
        },
        required_if=[
            ("state", "present", ["role_arn", "subnet_ids", "instance_types", "size"]),
        ],
        supports_check_mode=True,
    )
    NodeGroup(module).settle()


if __name__ == "__main__":
    main()
