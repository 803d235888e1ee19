#!/usr/bin/python
"""Ansible module: a random secret that only AWS Secrets Manager knows."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from ansible.module_utils.aws_calls import AwsCalls, settle, user_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
---
module: generated_secret
short_description: Keep a random secret in AWS Secrets Manager, and give its hash
description:
  - Makes the secret once and never changes it. A changed or rotated one is taken as it is.
  - The secret itself is never an argument or a result, so it is in no log and no variable.
options:
  name:
    description: Name of the secret.
    type: str
    required: true
  description:
    description: What it is for; of a new secret only.
    type: str
    default: ""
  tags:
    description: All tags of the secret; unset, they are left alone.
    type: dict
  state:
    description: Whether the secret shall be there.
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
- name: Have an API key
  generated_secret:
    name: darkroom/api-key
  register: key
"""

RETURN = r"""
arn:
  description: ARN of the secret.
  returned: when the secret is there
  type: str
sha256:
  description: SHA-256 of the secret, in hexadecimal digits.
  returned: when the secret is there
  type: str
"""

BYTES = 32


class Secret:
    """One secret, as it is and as it shall be."""

    def __init__(self, module: Any) -> None:
        self.module, self.asked = module, module.params
        self.store = AwsCalls(module, "secretsmanager")
        self.name = self.asked["name"]

    def settle(self) -> None:
        """End the module with the secret as asked."""
        found = self.store.find("describe_secret", SecretId=self.name)
        doomed = bool(found and found.get("DeletedDate"))
        live = found if not doomed else None
        present = self.asked["state"] == "present"
        after = {"name": self.name, "tags": self.asked["tags"] or self.tags(live)}
        settle(
            self.module,
            before={"name": self.name, "tags": self.tags(live)} if live else None,
            after=after if present else None,
            apply=(lambda: self.apply(found, doomed)) if present else self.remove,
            found=self.shown(live),
        )

    def tags(self, found: dict[str, Any] | None) -> dict[str, str]:
        """The tags of the secret."""
        listed = (found or {}).get("Tags") or []
        tags: dict[str, str] = user_tags({tag["Key"]: tag["Value"] for tag in listed})
        return tags

    def shown(self, found: dict[str, Any] | None) -> dict[str, str] | None:
        """What the caller may know of the secret."""
        if found is None:
            return None
        value = self.store.call("get_secret_value", SecretId=self.name)["SecretString"]
        return {"arn": found["ARN"], "sha256": hashlib.sha256(value.encode()).hexdigest()}

    def apply(self, found: dict[str, Any] | None, doomed: bool) -> dict[str, str] | None:
        """Make the secret or keep it from deletion, tag it and give what may be known."""
        tags = self.asked["tags"]
        if found is None:
            self.store.call(
                "create_secret",
                Name=self.name,
                Description=self.asked["description"],
                SecretString=secrets.token_urlsafe(BYTES),
                Tags=[{"Key": name, "Value": text} for name, text in (tags or {}).items()],
            )
        else:
            if doomed:
                self.store.call("restore_secret", SecretId=self.name)
            self.retag(self.tags(found), tags)
        return self.shown(self.store.find("describe_secret", SecretId=self.name))

    def retag(self, found: dict[str, str], wanted: dict[str, str] | None) -> None:
        """Let the secret have exactly the tags asked for."""
        if wanted is None:
            return
        if gone := sorted(set(found) - set(wanted)):
            self.store.call("untag_resource", SecretId=self.name, TagKeys=gone)
        new = [
            {"Key": name, "Value": text}
            for name, text in wanted.items()
            if found.get(name) != text
        ]
        if new:
            self.store.call("tag_resource", SecretId=self.name, Tags=new)

    def remove(self) -> None:
        """Remove the secret at once, so that its name is free."""
        self.store.call("delete_secret", SecretId=self.name, ForceDeleteWithoutRecovery=True)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "description": {"type": "str", "default": ""},
            "tags": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    Secret(module).settle()


if __name__ == "__main__":
    main()
