#!/usr/bin/python
"""Ansible module: a rule of EventBridge that sends events to one place."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.aws_calls import AwsCalls, settle, user_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
---
module: event_rule
short_description: Send the events of AWS that match a pattern to one target
description:
  - Unlike M(amazon.aws.cloudwatchevent_rule) it has a check mode and tags.
options:
  name:
    description: Name of the rule, on the default bus.
    type: str
    required: true
  description:
    description: What the rule is for.
    type: str
    default: ""
  pattern:
    description: Which events match.
    type: dict
  target_arn:
    description: ARN of what gets them; it must let C(events) send. Other targets are removed.
    type: str
  tags:
    description: All tags of the rule; unset, they are left alone.
    type: dict
  state:
    description: Whether the rule shall be there.
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
- name: Hear of Spot interruptions
  event_rule:
    name: darkroom-spot
    pattern:
      source: [aws.ec2]
      detail-type: [EC2 Spot Instance Interruption Warning]
    target_arn: arn:aws:sqs:us-east-1:123456789012:darkroom-karpenter
"""

RETURN = r"""
arn:
  description: ARN of the rule.
  returned: when the rule is there
  type: str
"""

TARGET = "target"


class Rule:
    """One rule, as it is and as it shall be."""

    def __init__(self, module: Any) -> None:
        self.module, self.asked = module, module.params
        self.events = AwsCalls(module, "events")
        self.name = self.asked["name"]

    def settle(self) -> None:
        """End the module with the rule as asked."""
        found = self.events.find("describe_rule", Name=self.name)
        present = self.asked["state"] == "present"
        before = self.managed(found) if found else None
        settle(
            self.module,
            before=before,
            after=self.wanted() if present else None,
            apply=(lambda: self.apply(before)) if present else (lambda: self.remove(before)),
            found=found,
        )

    def managed(self, found: dict[str, Any]) -> dict[str, Any]:
        """The part that this module may change."""
        targets = self.events.call("list_targets_by_rule", Rule=self.name)["Targets"]
        part = {
            "description": found.get("Description", ""),
            "pattern": json.loads(found.get("EventPattern") or "{}"),
            "enabled": found["State"] == "ENABLED",
            "targets": {target["Id"]: target["Arn"] for target in targets},
        }
        if self.asked["tags"] is not None:
            tags = self.events.call("list_tags_for_resource", ResourceARN=found["Arn"])["Tags"]
            part["tags"] = user_tags({tag["Key"]: tag["Value"] for tag in tags})
        return part

    def wanted(self) -> dict[str, Any]:
        """That part as it shall be."""
        part = {
            "description": self.asked["description"],
            "pattern": self.asked["pattern"],
            "enabled": True,
            "targets": {TARGET: self.asked["target_arn"]},
        }
        if self.asked["tags"] is not None:
            part["tags"] = self.asked["tags"]
        return part

    def apply(self, before: dict[str, Any] | None) -> dict[str, Any] | None:
        """Make or change the rule, and give it as it is then."""
        # Tags in this call would be ignored for a rule that exists.
        arn = self.events.call(
            "put_rule",
            Name=self.name,
            Description=self.asked["description"],
            EventPattern=json.dumps(self.asked["pattern"], sort_keys=True),
            State="ENABLED",
        )["RuleArn"]
        others = set(before["targets"]) - {TARGET} if before else set()
        if others:
            self.events.call("remove_targets", Rule=self.name, Ids=sorted(others))
        target = {"Id": TARGET, "Arn": self.asked["target_arn"]}
        answer = self.events.call("put_targets", Rule=self.name, Targets=[target])
        if answer.get("FailedEntryCount"):
            self.module.fail_json(msg="the target was refused", why=answer["FailedEntries"])
        self.tag(arn, before.get("tags", {}) if before else {})
        made: dict[str, Any] | None = self.events.find("describe_rule", Name=self.name)
        return made

    def tag(self, arn: str, found: dict[str, str]) -> None:
        """Let the rule have exactly the tags asked for."""
        wanted = self.asked["tags"]
        if wanted is None:
            return
        if gone := sorted(set(found) - set(wanted)):
            self.events.call("untag_resource", ResourceARN=arn, TagKeys=gone)
        new = [
            {"Key": name, "Value": text}
            for name, text in wanted.items()
            if found.get(name) != text
        ]
        if new:
            self.events.call("tag_resource", ResourceARN=arn, Tags=new)

    def remove(self, before: dict[str, Any] | None) -> None:
        """Remove the rule and its targets."""
        if before and before["targets"]:
            self.events.call("remove_targets", Rule=self.name, Ids=sorted(before["targets"]))
        self.events.call("delete_rule", Name=self.name)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "description": {"type": "str", "default": ""},
            "pattern": {"type": "dict"},
            "target_arn": {"type": "str"},
            "tags": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["pattern", "target_arn"])],
        supports_check_mode=True,
    )
    Rule(module).settle()


if __name__ == "__main__":
    main()
