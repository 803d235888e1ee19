#!/usr/bin/python
"""A DynamoDB table that is paid by request, with its indexes, expiry and backups.

The table outlives a deployment and the next one takes it as it is, so it is in no stack. The
collection's dynamodb_table has no point-in-time recovery, and does not wait for indexes.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: dynamodb_on_demand_table
short_description: Make a DynamoDB table with indexes, expiry and point-in-time recovery
description:
  - Makes a table, or adds the indexes that it lacks and sets what differs. Items stay, and
    indexes are never removed. All keys are strings.
author: [Darkroom]
options:
  name:
    description: Name of the table.
    type: str
    required: true
  state:
    description: Whether the table is to be there; C(absent) removes all its items.
    type: str
    choices: [present, absent]
    default: present
  hash_key:
    description: The table's key, required if it is to be there.
    type: str
  indexes:
    description: Global secondary indexes.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the index.
        type: str
        required: true
      hash_key:
        description: Its key.
        type: str
        required: true
      range_key:
        description: Its sort key, if it has one.
        type: str
      projection:
        description: What it holds.
        type: str
        choices: [ALL, KEYS_ONLY]
        default: ALL
  ttl_attribute:
    description: The attribute with the second at which an item expires.
    type: str
  point_in_time_recovery:
    description: Whether the table can be restored to any second of the last 35 days.
    type: bool
    default: true
  tags:
    description: Tags to set; other tags stay.
    type: dict
  wait_seconds:
    description: How long to wait for the table or an index.
    type: int
    default: 900
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a table
  dynamodb_on_demand_table:
    name: sdoneks-ledger
    hash_key: uid
    indexes:
      - {name: by_id, hash_key: id, range_key: uid}
    ttl_attribute: expires_at
"""

RETURN = r"""
table_arn:
  description: ARN of the table; empty in check mode if it is not there yet.
  returned: always
  type: str
changes:
  description: What differed.
  returned: always
  type: list
  elements: str
"""

import time

from ansible.module_utils.attributes import missing_tags
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from botocore.exceptions import BotoCoreError, ClientError

MISSING = "ResourceNotFoundException"


class Table:
    """One table, made and changed; without effect in check mode."""

    def __init__(self, client, params, *, check_mode):
        self.client = client
        self.params = params
        self.name = params["name"]
        self.check_mode = check_mode
        self.changes = []

    def find(self):
        """What the table is, or None."""
        try:
            return self.client.describe_table(TableName=self.name, aws_retry=True)["Table"]
        except is_boto3_error_code(MISSING):
            return None

    def present(self):
        """Make it as it is wanted, and give its ARN."""
        found = self.find()
        if found is None:
            self.changes.append("table")
            if self.check_mode:
                return ""
            self.create()
            found = self.settled()
        for index in self.lacking(found):
            self.changes.append(f"index {index['IndexName']}")
            self.add(index)
        self.set_expiry()
        self.set_recovery()
        self.set_tags(found["TableArn"])
        return found["TableArn"]

    def absent(self):
        """Remove it with all items."""
        if self.find() is None:
            return
        self.changes.append("table")
        if not self.check_mode:
            self.client.delete_table(TableName=self.name)
            self.settled(there=False)

    def create(self):
        """Make the table with its indexes."""
        indexes = [index_of(index) for index in self.params["indexes"]]
        more = {"GlobalSecondaryIndexes": indexes} if indexes else {}
        self.client.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=self.attributes(),
            KeySchema=[{"AttributeName": self.params["hash_key"], "KeyType": "HASH"}],
            Tags=ansible_dict_to_boto3_tag_list(self.params["tags"] or {}),
            **more,
        )

    def attributes(self):
        """The definitions of all keys."""
        keys = {self.params["hash_key"]}
        for index in self.params["indexes"]:
            keys |= {index["hash_key"], index["range_key"]} - {None}
        return [{"AttributeName": key, "AttributeType": "S"} for key in sorted(keys)]

    def lacking(self, found):
        """The indexes that the table has not."""
        known = {index["IndexName"] for index in found.get("GlobalSecondaryIndexes", [])}
        return [index_of(i) for i in self.params["indexes"] if i["name"] not in known]

    def add(self, index):
        """Add one index, and wait until it is filled, for AWS adds one at a time."""
        if self.check_mode:
            return
        keys = {key["AttributeName"] for key in index["KeySchema"]}
        known = {a["AttributeName"] for a in self.settled()["AttributeDefinitions"]}
        definitions = [a for a in self.attributes() if a["AttributeName"] in keys | known]
        self.client.update_table(
            TableName=self.name,
            AttributeDefinitions=definitions,
            GlobalSecondaryIndexUpdates=[{"Create": index}],
        )
        self.settled()

    def settled(self, *, there=True):
        """Wait until the table and its indexes are active, or gone; gives the table."""
        deadline = time.monotonic() + self.params["wait_seconds"]
        while True:
            found = self.find()
            if found is None and not there:
                return None
            parts = [found, *found.get("GlobalSecondaryIndexes", [])] if found else []
            states = {part.get("TableStatus", part.get("IndexStatus")) for part in parts}
            if there and states == {"ACTIVE"}:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"table {self.name} is {sorted(states)}")
            time.sleep(2)

    def set_expiry(self):
        """Set the attribute by which items expire."""
        wanted = self.params["ttl_attribute"]
        answer = self.client.describe_time_to_live(TableName=self.name, aws_retry=True)
        current = answer["TimeToLiveDescription"]
        on = current.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
        if not wanted or (on and current.get("AttributeName") == wanted):
            return
        self.changes.append("expiry")
        if not self.check_mode:
            self.client.update_time_to_live(
                TableName=self.name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": wanted},
            )

    def set_recovery(self):
        """Set point-in-time recovery."""
        wanted = self.params["point_in_time_recovery"]
        answer = self.client.describe_continuous_backups(TableName=self.name, aws_retry=True)
        recovery = answer["ContinuousBackupsDescription"].get(
            "PointInTimeRecoveryDescription", {}
        )
        if (recovery.get("PointInTimeRecoveryStatus") == "ENABLED") == wanted:
            return
        self.changes.append("point-in-time recovery")
        if not self.check_mode:
            self.client.update_continuous_backups(
                TableName=self.name,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": wanted},
                # Right after creation backups are not yet there.
                aws_retry=True,
            )

    def set_tags(self, arn):
        """Set tags that are missing."""
        answer = self.client.list_tags_of_resource(ResourceArn=arn, aws_retry=True)
        current = boto3_tag_list_to_ansible_dict(answer["Tags"])
        missing = missing_tags(current, self.params["tags"])
        if missing:
            self.changes.append("tags")
        if missing and not self.check_mode:
            self.client.tag_resource(
                ResourceArn=arn, Tags=ansible_dict_to_boto3_tag_list(missing)
            )


def index_of(index):
    """An index as DynamoDB takes it."""
    keys = [{"AttributeName": index["hash_key"], "KeyType": "HASH"}]
    if index["range_key"]:
        keys.append({"AttributeName": index["range_key"], "KeyType": "RANGE"})
    return {
        "IndexName": index["name"],
        "KeySchema": keys,
        "Projection": {"ProjectionType": index["projection"]},
    }


def main():
    """Run as a module."""
    index = {
        "name": {"type": "str", "required": True},
        "hash_key": {"type": "str", "required": True, "no_log": False},
        "range_key": {"type": "str", "no_log": False},
        "projection": {"type": "str", "choices": ["ALL", "KEYS_ONLY"], "default": "ALL"},
    }
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "hash_key": {"type": "str", "no_log": False},
            "indexes": {"type": "list", "elements": "dict", "default": [], "options": index},
            "ttl_attribute": {"type": "str"},
            "point_in_time_recovery": {"type": "bool", "default": True},
            "tags": {"type": "dict"},
            "wait_seconds": {"type": "int", "default": 900},
        },
        required_if=[("state", "present", ["hash_key"])],
        supports_check_mode=True,
    )
    retry = AWSRetry.jittered_backoff(
        catch_extra_error_codes=[
            "ContinuousBackupsUnavailableException",
            "LimitExceededException",
        ]
    )
    client = module.client("dynamodb", retry_decorator=retry)
    table = Table(client, module.params, check_mode=module.check_mode)
    arn = ""
    try:
        if module.params["state"] == "present":
            arn = table.present()
        else:
            table.absent()
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"table {table.name}")
    except TimeoutError as error:
        module.fail_json(msg=str(error))
    diff = {"before": "", "after": "".join(f"{each}\n" for each in table.changes)}
    module.exit_json(
        changed=bool(table.changes), table_arn=arn, changes=table.changes, diff=diff
    )


if __name__ == "__main__":
    main()
