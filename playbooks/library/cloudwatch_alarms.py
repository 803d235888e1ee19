#!/usr/bin/python
"""The alarms of one thing, as an Ansible module."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
)

DOCUMENTATION = r"""
module: cloudwatch_alarms
short_description: Make a set of metric alarms, and remove those that are no longer in it
description:
  - Every alarm whose name begins with O(prefix) belongs to the set.
options:
  prefix:
    description: What the names of the set begin with; the names in O(alarms) are added to it.
    type: str
    required: true
  alarms:
    description: The alarms. An empty list removes all.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Rest of the name.
        type: str
        required: true
      description:
        description: What it means and what to do.
        type: str
        required: true
      metrics:
        description: Queries as PutMetricAlarm takes them; one of them has C(ReturnData) true.
        type: list
        elements: dict
        required: true
      comparison:
        description: How the value is compared with O(alarms[].threshold).
        type: str
        default: GreaterThanThreshold
        choices:
          - GreaterThanThreshold
          - GreaterThanOrEqualToThreshold
          - LessThanThreshold
          - LessThanOrEqualToThreshold
      threshold:
        description: The limit.
        type: float
        required: true
      periods:
        description: Periods that are looked at.
        type: int
        default: 1
      breaches:
        description: Periods of these that must breach; all of them if not given.
        type: int
      missing:
        description: What a period without values is.
        type: str
        default: notBreaching
        choices: [breaching, notBreaching, ignore, missing]
  actions:
    description: ARNs told of an alarm and of its end.
    type: list
    elements: str
    default: []
  tags:
    description: Tags of new alarms.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Tell when a queue is old
  cloudwatch_alarms:
    prefix: sdoneks-
    actions: ["{{ topic_arn }}"]
    alarms:
      - name: sdruntime-age
        description: The oldest task waits for 15 minutes.
        threshold: 900
        metrics:
          - Id: age
            ReturnData: true
            MetricStat:
              Stat: Maximum
              Period: 60
              Metric:
                Namespace: AWS/SQS
                MetricName: ApproximateAgeOfOldestMessage
                Dimensions: [{Name: QueueName, Value: sdoneks-sdruntime}]
"""

RETURN = r"""
made:
  description: Names of alarms that were made or changed.
  type: list
  returned: always
removed:
  description: Names of alarms that were removed.
  type: list
  returned: always
"""

ALARM = {
    "name": {"required": True},
    "description": {"required": True},
    "metrics": {"type": "list", "elements": "dict", "required": True},
    "comparison": {
        "default": "GreaterThanThreshold",
        "choices": [
            "GreaterThanThreshold",
            "GreaterThanOrEqualToThreshold",
            "LessThanThreshold",
            "LessThanOrEqualToThreshold",
        ],
    },
    "threshold": {"type": "float", "required": True},
    "periods": {"type": "int", "default": 1},
    "breaches": {"type": "int"},
    "missing": {
        "default": "notBreaching",
        "choices": ["breaching", "notBreaching", "ignore", "missing"],
    },
}
KEYS = (
    "AlarmName",
    "AlarmDescription",
    "AlarmActions",
    "OKActions",
    "ActionsEnabled",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
    "Metrics",
)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "prefix": {"required": True},
            "alarms": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": ALARM,
            },
            "actions": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff())
        before = as_they_are(client, module.params["prefix"])
        after = as_they_should_be(module.params)
        made = [name for name, alarm in after.items() if differs(before.get(name), alarm)]
        removed = [name for name in before if name not in after]
        if not module.check_mode:
            put(module, client, [after[name] for name in made])
            for start in range(0, len(removed), 100):
                client.delete_alarms(AlarmNames=removed[start : start + 100], aws_retry=True)
        diff = {"before": before, "after": after}
        module.exit_json(changed=bool(made or removed), diff=diff, made=made, removed=removed)


def as_they_are(client: Any, prefix: str) -> dict[str, dict[str, Any]]:
    """The alarms of AWS by name, in the form of PutMetricAlarm."""
    pages = client.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"]
    )
    found = [alarm for page in pages for alarm in page["MetricAlarms"]]
    return {alarm["AlarmName"]: comparable(alarm) for alarm in found}


def differs(before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
    """Whether an alarm has to be written."""
    # AWS always shows the queries of an alarm that has some; an emulator may not.
    return before is None or before != {key: after[key] for key in after if key in before}


def comparable(alarm: dict[str, Any]) -> dict[str, Any]:
    """An alarm with what a task can ask for, in one order."""
    kept = {key: alarm[key] for key in KEYS if key in alarm}
    if "Metrics" in kept:
        kept["Metrics"] = [query(each) for each in kept["Metrics"]]
    kept.setdefault("DatapointsToAlarm", alarm.get("EvaluationPeriods"))
    return kept


def query(given: dict[str, Any]) -> dict[str, Any]:
    """A query with what AWS fills in, and without what it leaves empty."""
    found = {key: value for key, value in given.items() if value not in (None, "")}
    found.setdefault("ReturnData", True)
    if "MetricStat" in found:
        metric = found["MetricStat"]["Metric"]
        dimensions = sorted(metric.get("Dimensions", []), key=lambda each: each["Name"])
        metric = {**metric, "Dimensions": dimensions}
        found["MetricStat"] = {**found["MetricStat"], "Metric": metric}
    return found


def as_they_should_be(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The wanted alarms by name, in the same form."""
    alarms = [
        {
            "AlarmName": given["prefix"] + alarm["name"],
            "AlarmDescription": alarm["description"],
            "AlarmActions": given["actions"],
            "OKActions": given["actions"],
            "ActionsEnabled": True,
            "EvaluationPeriods": alarm["periods"],
            "DatapointsToAlarm": alarm["breaches"] or alarm["periods"],
            "Threshold": alarm["threshold"],
            "ComparisonOperator": alarm["comparison"],
            "TreatMissingData": alarm["missing"],
            "Metrics": alarm["metrics"],
        }
        for alarm in given["alarms"]
    ]
    return {alarm["AlarmName"]: comparable(alarm) for alarm in alarms}


def put(module: Any, client: Any, alarms: list[dict[str, Any]]) -> None:
    """Write alarms."""
    tags = ansible_dict_to_boto3_tag_list(module.params["tags"])
    for alarm in alarms:
        client.put_metric_alarm(**alarm, Tags=tags, aws_retry=True)


if __name__ == "__main__":
    main()
