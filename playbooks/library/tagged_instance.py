#!/usr/bin/python
"""One instance for a while, known by its tags, as an Ansible module.

It lives for minutes within one run, so it is in no stack. The collection's ec2_instance does
not find what a killed run left in whatever state, nor wait for the volume that becomes a
snapshot.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_message
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
)

DOCUMENTATION = r"""
module: tagged_instance
short_description: Start, stop or remove an instance that is known by its tags
description:
  - Every instance that has all the tags is meant, so that one which a killed run left is found.
  - An instance has an encrypted gp3 volume beside that of its image, takes only tokens of the
    metadata service, and is removed when it shuts itself down.
options:
  tags:
    description: Tags that tell the instance from all others.
    type: dict
    required: true
  image_id:
    description: Image to start from.
    type: str
  instance_type:
    description: Type of the instance.
    type: str
  instance_profile:
    description: Name of its instance profile, which may be new.
    type: str
  subnet_id:
    description: Subnet of the instance.
    type: str
  security_group_id:
    description: Its security group.
    type: str
  user_data:
    description: What it is told at its start.
    type: str
    default: ""
  volume_device:
    description: Device of the volume; an instance that has none there is an error.
    type: str
    default: /dev/xvdb
  volume_gib:
    description: Size of the volume.
    type: int
    default: 80
  profile_seconds:
    description: How long a new instance profile may be unknown.
    type: int
    default: 60
  wait_seconds:
    description: How long a change may take.
    type: int
    default: 900
  state:
    description: What the instance is to be.
    type: str
    choices: [running, stopped, absent]
    default: running
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Start a host
  tagged_instance:
    tags: {Name: sdoneks-image-cache}
    image_id: ami-0123456789abcdef0
    instance_type: m6i.large
    instance_profile: sdoneks-us-east-1-image-cache
    subnet_id: subnet-0123456789abcdef0
    security_group_id: sg-0123456789abcdef0
"""

RETURN = r"""
instance_id:
  description: Id of the instance; empty when there is none.
  type: str
  returned: always
volume_id:
  description: Id of the volume on O(volume_device); empty when there is no instance.
  type: str
  returned: always
"""

LIVING = ["pending", "running", "stopping", "stopped"]
PROFILE_UNKNOWN = "Invalid IAM Instance Profile"
TO_START = ["image_id", "instance_type", "instance_profile", "subnet_id", "security_group_id"]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "tags": {"type": "dict", "required": True},
            **{name: {} for name in TO_START},
            "user_data": {"default": ""},
            "volume_device": {"default": "/dev/xvdb"},
            "volume_gib": {"type": "int", "default": 80},
            "profile_seconds": {"type": "int", "default": 60},
            "wait_seconds": {"type": "int", "default": 900},
            "state": {"choices": ["running", "stopped", "absent"], "default": "running"},
        },
        required_if=[("state", "running", TO_START)],
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff())
        settle(module, client, living(module, client))


def living(module: Any, client: Any) -> list[dict[str, Any]]:
    """The instances with the tags that are not being removed."""
    tags = module.params["tags"].items()
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags]
    filters.append({"Name": "instance-state-name", "Values": LIVING})
    pages = client.get_paginator("describe_instances").paginate(Filters=filters)
    return [
        instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]


def settle(module: Any, client: Any, found: list[dict[str, Any]]) -> None:
    """Do what is left to do, and end."""
    state = module.params["state"]
    ids = [instance["InstanceId"] for instance in found]
    if state == "running":
        changed = not found
    elif state == "stopped":
        changed = any(instance["State"]["Name"] != "stopped" for instance in found)
    else:
        changed = bool(found)
    if changed and not module.check_mode:
        ids = [start(module, client)] if state == "running" else ids
        change(module, client, ids)
        found = living(module, client)
    module.exit_json(
        changed=changed,
        instance_id=found[0]["InstanceId"] if found else "",
        volume_id=volume_of(module, found[0]) if found and state != "absent" else "",
    )


def volume_of(module: Any, instance: dict[str, Any]) -> str:
    """The volume of the device; ends the module if the instance has none there."""
    device = module.params["volume_device"]
    volumes = {
        mapping["DeviceName"]: mapping["Ebs"]["VolumeId"]
        for mapping in instance.get("BlockDeviceMappings", [])
    }
    if device not in volumes:
        there = ", ".join(volumes) or "none at all"
        module.fail_json(msg=f"{instance['InstanceId']} has no volume {device}, it has {there}")
    return str(volumes[device])


def change(module: Any, client: Any, ids: list[str]) -> None:
    """Bring instances into the state, and return when they are."""
    state = module.params["state"]
    if state == "stopped":
        client.stop_instances(InstanceIds=ids, aws_retry=True)
    elif state == "absent":
        client.terminate_instances(InstanceIds=ids, aws_retry=True)
    waiter = client.get_waiter(f"instance_{'terminated' if state == 'absent' else state}")
    attempts = max(1, module.params["wait_seconds"] // 5)
    waiter.wait(InstanceIds=ids, WaiterConfig={"Delay": 5, "MaxAttempts": attempts})


def start(module: Any, client: Any) -> str:
    """Start an instance and give its id."""
    deadline = time.monotonic() + module.params["profile_seconds"]
    while True:
        try:
            made = client.run_instances(**asked(module.params), aws_retry=True)
        except is_boto3_error_message(PROFILE_UNKNOWN):
            # A new profile is known everywhere only after some seconds.
            if time.monotonic() > deadline:
                raise
            time.sleep(5)
            continue
        instance_id: str = made["Instances"][0]["InstanceId"]
        return instance_id


def asked(given: dict[str, Any]) -> dict[str, Any]:
    """What an instance is started with."""
    tags = ansible_dict_to_boto3_tag_list(given["tags"])
    volume = {
        "VolumeSize": given["volume_gib"],
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    return {
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": given["image_id"],
        "InstanceType": given["instance_type"],
        "IamInstanceProfile": {"Name": given["instance_profile"]},
        "SubnetId": given["subnet_id"],
        "SecurityGroupIds": [given["security_group_id"]],
        "UserData": given["user_data"],
        "BlockDeviceMappings": [{"DeviceName": given["volume_device"], "Ebs": volume}],
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
        ],
    }


if __name__ == "__main__":
    main()
