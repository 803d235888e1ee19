#!/usr/bin/python
"""Ansible module: the launch template of a managed node group."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.aws_calls import AwsCalls, Resource, user_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
---
module: node_launch_template
short_description: Describe the disk, metadata options and tags of a managed node group's nodes
description:
  - A change makes a new version, which becomes the default one.
  - Unlike M(amazon.aws.ec2_launch_template) it takes what EC2 fills in as equal to what is
    asked for, so a second run changes nothing.
options:
  name:
    description: Name of the template.
    type: str
    required: true
  disk_gib:
    description: Size of the encrypted root disk.
    type: int
    default: 50
  disk_device:
    description: Name of the root disk.
    type: str
    default: /dev/xvda
  metadata_hops:
    description: Network hops to the metadata of the instance, which always needs a token.
    type: int
    default: 1
  tags:
    description: Tags of the template, of the instances and of their disks.
    type: dict
    default: {}
  state:
    description: Whether the template shall be there.
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
- name: Describe the nodes
  node_launch_template:
    name: darkroom-services
    disk_gib: 50
"""

RETURN = r"""
launch_template_id:
  description: Id of the template.
  returned: when it is there
  type: str
latest_version_number:
  description: Number of its newest version.
  returned: when it is there
  type: int
"""

TAGGED = ("instance", "volume")
MISSING = "InvalidLaunchTemplateName.NotFoundException"


class Template(Resource):
    """One launch template, as it is and as it shall be."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.ec2 = AwsCalls(module, "ec2", missing=MISSING)
        self.names = {"LaunchTemplateName": self.asked["name"]}

    def find(self) -> dict[str, Any] | None:
        """The template as it is."""
        names = [self.asked["name"]]
        answer = self.ec2.find("describe_launch_templates", LaunchTemplateNames=names)
        found: list[dict[str, Any]] = answer["LaunchTemplates"] if answer else []
        return found[0] if found else None

    def managed(self, found: dict[str, Any]) -> dict[str, Any]:
        """The part that this module may change, of the newest version."""
        answer = self.ec2.call(
            "describe_launch_template_versions", **self.names, Versions=["$Latest"]
        )
        data = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        disk = (data.get("BlockDeviceMappings") or [{}])[0]
        options = data.get("MetadataOptions", {})
        by_type = {each["ResourceType"]: _tags(each) for each in data["TagSpecifications"]}
        same = all(by_type.get(kind) == by_type.get(TAGGED[0]) for kind in TAGGED)
        return {
            "disk_gib": disk.get("Ebs", {}).get("VolumeSize"),
            "disk_device": disk.get("DeviceName"),
            "metadata_hops": options.get("HttpPutResponseHopLimit"),
            "tokens": options.get("HttpTokens"),
            "tags": _tags(found),
            "node_tags": by_type.get(TAGGED[0], {}) if same else None,
        }

    def wanted(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """That part as it shall be."""
        wanted = {name: self.asked[name] for name in ("disk_gib", "disk_device")}
        wanted |= {"metadata_hops": self.asked["metadata_hops"], "tokens": "required"}
        return wanted | {"tags": self.asked["tags"], "node_tags": self.asked["tags"]}

    def data(self) -> dict[str, Any]:
        """What the template shall say, as EC2 takes it."""
        disk = {
            "VolumeSize": self.asked["disk_gib"],
            "VolumeType": "gp3",
            "Encrypted": True,
            "DeleteOnTermination": True,
        }
        return {
            "BlockDeviceMappings": [{"DeviceName": self.asked["disk_device"], "Ebs": disk}],
            "MetadataOptions": {
                "HttpEndpoint": "enabled",
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": self.asked["metadata_hops"],
            },
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": self.tags()} for kind in TAGGED
            ],
        }

    def tags(self) -> list[dict[str, str]]:
        """The tags as EC2 takes them."""
        return [{"Key": name, "Value": text} for name, text in self.asked["tags"].items()]

    def apply(self, found: dict[str, Any] | None) -> dict[str, Any] | None:
        """Make the template or a new version, and give it as it is then."""
        if found is None:
            tags = {"ResourceType": "launch-template", "Tags": self.tags()}
            self.ec2.call(
                "create_launch_template",
                **self.names,
                LaunchTemplateData=self.data(),
                TagSpecifications=[tags],
            )
            return self.find()
        made = self.ec2.call(
            "create_launch_template_version", **self.names, LaunchTemplateData=self.data()
        )
        newest = str(made["LaunchTemplateVersion"]["VersionNumber"])
        self.ec2.call("modify_launch_template", **self.names, DefaultVersion=newest)
        here = [found["LaunchTemplateId"]]
        if gone := sorted(set(_tags(found)) - set(self.asked["tags"])):
            keys = [{"Key": name} for name in gone]
            self.ec2.call("delete_tags", Resources=here, Tags=keys)
        if self.asked["tags"]:
            self.ec2.call("create_tags", Resources=here, Tags=self.tags())
        return self.find()

    def remove(self) -> None:
        """Remove the template with all its versions."""
        self.ec2.call("delete_launch_template", **self.names)


def _tags(tagged: dict[str, Any]) -> dict[str, str]:
    tags: dict[str, str] = user_tags(
        {tag["Key"]: tag["Value"] for tag in tagged.get("Tags") or []}
    )
    return tags


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "disk_gib": {"type": "int", "default": 50},
            "disk_device": {"type": "str", "default": "/dev/xvda"},
            "metadata_hops": {"type": "int", "default": 1},
            "tags": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    Template(module).settle()


if __name__ == "__main__":
    main()
