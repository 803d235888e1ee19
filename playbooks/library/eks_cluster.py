#!/usr/bin/python
"""Ansible module: the control plane of an EKS cluster."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.aws_calls import AwsCalls, Resource, user_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
---
module: eks_cluster
short_description: Make, change or remove the control plane of an EKS cluster
description:
  - Access is by access entries only (authentication mode C(API)), and whoever makes the
    cluster gets no rights in it by that.
  - EKS's own add-ons are not installed; see M(eks_addon).
  - Subnets, role and a key of encryption cannot be changed later, which ends the module.
options:
  name:
    description: Name of the cluster.
    type: str
    required: true
  version:
    description:
      - Version of Kubernetes, as C(1.34). A newer one than the cluster has upgrades it, one
        minor version at a time, as EKS demands. An older one ends the module.
    type: str
  role_arn:
    description: ARN of the role that the control plane uses.
    type: str
  subnet_ids:
    description: Subnets of the control plane's network interfaces.
    type: list
    elements: str
  public_access:
    description: Whether the API server can be reached from the internet.
    type: bool
    default: true
  public_access_cidrs:
    description: From where it can be reached then.
    type: list
    elements: str
    default: [0.0.0.0/0]
  log_types:
    description: Logs of the control plane that go to CloudWatch.
    type: list
    elements: str
    choices: [api, audit, authenticator, controllerManager, scheduler]
    default: []
  encryption_key_arn:
    description: ARN of a KMS key that encrypts Kubernetes secrets; unset, EKS's own does.
    type: str
  tags:
    description: All tags of the cluster; unset, they are left alone.
    type: dict
  state:
    description: Whether the cluster shall be there.
    type: str
    choices: [present, absent]
    default: present
  wait:
    description: Wait until the cluster is active, or gone.
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
- name: Make a cluster
  eks_cluster:
    name: darkroom
    version: "1.34"
    role_arn: arn:aws:iam::123456789012:role/darkroom-us-east-1-cluster
    subnet_ids: [subnet-0a1b2c3d, subnet-4e5f6a7b]
    log_types: [audit]
"""

RETURN = r"""
arn:
  description: ARN of the cluster.
  returned: when the cluster is there
  type: str
endpoint:
  description: URL of the API server.
  returned: when the cluster is active
  type: str
version:
  description: Version of Kubernetes.
  returned: when the cluster is there
  type: str
certificate_authority:
  description: Holds C(data), the certificate of the API server's authority in Base64.
  returned: when the cluster is active
  type: dict
resources_vpc_config:
  description: Holds C(cluster_security_group_id) and the subnets.
  returned: when the cluster is there
  type: dict
"""

LOG_TYPES = ["api", "audit", "authenticator", "controllerManager", "scheduler"]


class Cluster(Resource):
    """One cluster, as it is and as it shall be."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.eks = AwsCalls(module, "eks")
        self.name = self.asked["name"]
        self.patience = self.asked["wait_timeout"]

    def find(self) -> dict[str, Any] | None:
        """The cluster as it is."""
        answer = self.eks.find("describe_cluster", name=self.name)
        return answer["cluster"] if answer else None

    def refuse(self, found: dict[str, Any]) -> None:
        """End the module if something differs that EKS cannot change."""
        lasting = {
            "role_arn": (found["roleArn"], self.asked["role_arn"]),
            "subnet_ids": (
                sorted(found["resourcesVpcConfig"]["subnetIds"]),
                sorted(self.asked["subnet_ids"]),
            ),
        }
        if key := _key(found):
            lasting["encryption_key_arn"] = (key, self.asked["encryption_key_arn"])
        wrong = {name: pair for name, pair in lasting.items() if pair[0] != pair[1]}
        if wrong:
            self.module.fail_json(msg=f"a cluster's {', '.join(wrong)} cannot be changed")
        if self.asked["version"] and _numbers(self.asked["version"]) < _numbers(
            found["version"]
        ):
            self.module.fail_json(
                msg=f"the cluster has Kubernetes {found['version']}, and cannot go back"
            )

    def managed(self, found: dict[str, Any]) -> dict[str, Any]:
        """The part that this module may change."""
        network = found["resourcesVpcConfig"]
        public = network["endpointPublicAccess"]
        part = {
            "version": found["version"],
            "public_access": public,
            "private_access": network["endpointPrivateAccess"],
            "public_access_cidrs": sorted(network["publicAccessCidrs"]) if public else [],
            "log_types": _log_types(found),
            "encryption_key_arn": _key(found),
            "authentication_mode": found.get("accessConfig", {}).get("authenticationMode"),
        }
        if self.asked["tags"] is not None:
            part["tags"] = user_tags(found.get("tags", {}))
        return part

    def wanted(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """That part as it shall be."""
        public = self.asked["public_access"]
        part = {
            "version": self.asked["version"] or (found["version"] if found else None),
            "public_access": public,
            "private_access": True,
            "public_access_cidrs": sorted(self.asked["public_access_cidrs"]) if public else [],
            "log_types": sorted(self.asked["log_types"]),
            "encryption_key_arn": self.asked["encryption_key_arn"],
            "authentication_mode": "API",
        }
        if self.asked["tags"] is not None:
            part["tags"] = self.asked["tags"]
        return part

    def apply(self, found: dict[str, Any] | None) -> dict[str, Any] | None:
        """Make or change the cluster, and give it as it is then."""
        if found is None:
            self.create()
        else:
            self.change(self.managed(found), self.wanted(found))
            self.eks.tag(found["arn"], found.get("tags", {}), self.asked["tags"])
        if self.asked["wait"]:
            self.eks.wait("cluster_active", self.patience, name=self.name)
        return self.find()

    def create(self) -> None:
        """Make the cluster."""
        extra: dict[str, Any] = {}
        if self.asked["version"]:
            extra["version"] = self.asked["version"]
        if self.asked["encryption_key_arn"]:
            extra["encryptionConfig"] = self.encryption()
        self.eks.call_with_new_role(
            "create_cluster",
            name=self.name,
            roleArn=self.asked["role_arn"],
            resourcesVpcConfig={"subnetIds": self.asked["subnet_ids"], **self.access()},
            accessConfig={
                "authenticationMode": "API",
                "bootstrapClusterCreatorAdminPermissions": False,
            },
            bootstrapSelfManagedAddons=False,
            logging=self.logging(),
            tags=self.asked["tags"] or {},
            **extra,
        )

    def change(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Change what differs; EKS takes one kind of change at a time."""
        differs = {name for name in after if before.get(name) != after[name]}
        if differs & {"public_access", "private_access", "public_access_cidrs"}:
            self.update("update_cluster_config", resourcesVpcConfig=self.access())
        if "log_types" in differs:
            self.update("update_cluster_config", logging=self.logging())
        if "authentication_mode" in differs:
            self.update("update_cluster_config", accessConfig={"authenticationMode": "API"})
        if "encryption_key_arn" in differs:
            self.update(
                "associate_encryption_config",
                clusterName=self.name,
                encryptionConfig=self.encryption(),
            )
        for version in _steps(before["version"], after["version"]):
            self.update("update_cluster_version", version=version)

    def update(self, operation: str, **arguments: Any) -> None:
        """Make one change and wait for its end, which the next one needs."""
        if "clusterName" not in arguments:
            arguments["name"] = self.name
        answer = self.eks.call(operation, **arguments)
        self.eks.finish(answer["update"], self.patience, name=self.name)

    def remove(self) -> None:
        """Remove the cluster, which must have no node groups."""
        self.eks.call("delete_cluster", name=self.name)
        if self.asked["wait"]:
            self.eks.wait("cluster_deleted", self.patience, name=self.name)

    def access(self) -> dict[str, Any]:
        """Who reaches the API server, as EKS takes it."""
        access = {
            "endpointPublicAccess": self.asked["public_access"],
            "endpointPrivateAccess": True,
        }
        if self.asked["public_access"]:
            access["publicAccessCidrs"] = self.asked["public_access_cidrs"]
        return access

    def logging(self) -> dict[str, Any]:
        """Which logs are kept, as EKS takes it."""
        kept = self.asked["log_types"]
        dropped = [name for name in LOG_TYPES if name not in kept]
        setups = [{"types": kept, "enabled": True}, {"types": dropped, "enabled": False}]
        return {"clusterLogging": [setup for setup in setups if setup["types"]]}

    def encryption(self) -> list[dict[str, Any]]:
        """How secrets are encrypted, as EKS takes it."""
        key = self.asked["encryption_key_arn"]
        return [{"resources": ["secrets"], "provider": {"keyArn": key}}]


def _key(found: dict[str, Any]) -> str | None:
    for each in found.get("encryptionConfig", []):
        key: str = each["provider"]["keyArn"]
        return key
    return None


def _log_types(found: dict[str, Any]) -> list[str]:
    setups = found.get("logging", {}).get("clusterLogging", [])
    return sorted(name for setup in setups if setup["enabled"] for name in setup["types"])


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def _steps(old: str, new: str) -> list[str]:
    major, last = _numbers(new)
    return [f"{major}.{minor}" for minor in range(_numbers(old)[1] + 1, last + 1)]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str"},
            "role_arn": {"type": "str"},
            "subnet_ids": {"type": "list", "elements": "str"},
            "public_access": {"type": "bool", "default": True},
            "public_access_cidrs": {
                "type": "list",
                "elements": "str",
                "default": ["0.0.0.0/0"],
            },
            "log_types": {
                "type": "list",
                "elements": "str",
                "choices": LOG_TYPES,
                "default": [],
            },
            "encryption_key_arn": {"type": "str", "no_log": False},
            "tags": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 2400},
        },
        required_if=[("state", "present", ["role_arn", "subnet_ids"])],
        supports_check_mode=True,
    )
    Cluster(module).settle()


if __name__ == "__main__":
    main()
