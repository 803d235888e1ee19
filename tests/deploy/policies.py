"""What a policy of AWS allows that it should not: actions without a name, or about anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

WITHOUT_RESOURCE = {
    # Calls of AWS that know no resource, by its Service Authorization Reference.
    "cloudwatch:PutMetricData": "metrics have no ARN; a condition names the namespace",
    "ec2:DescribeAvailabilityZones": "reads, and EC2 cannot restrict it",
    "ec2:DescribeCapacityReservations": "reads, and EC2 cannot restrict it",
    "ec2:DescribeImages": "reads, and EC2 cannot restrict it",
    "ec2:DescribeInstanceStatus": "reads, and EC2 cannot restrict it",
    "ec2:DescribeInstances": "reads, and EC2 cannot restrict it",
    "ec2:DescribeInstanceTypeOfferings": "reads, and EC2 cannot restrict it",
    "ec2:DescribeInstanceTypes": "reads, and EC2 cannot restrict it",
    "ec2:DescribeLaunchTemplates": "reads, and EC2 cannot restrict it",
    "ec2:DescribePlacementGroups": "reads, and EC2 cannot restrict it",
    "ec2:DescribeSecurityGroups": "reads, and EC2 cannot restrict it",
    "ec2:DescribeSpotPriceHistory": "reads, and EC2 cannot restrict it",
    "ec2:DescribeSubnets": "reads, and EC2 cannot restrict it",
    "ec2:DescribeTags": "reads, and EC2 cannot restrict it",
    "ec2:DescribeVolumes": "reads, and EC2 cannot restrict it",
    "ecr:GetAuthorizationToken": "a token is for the whole registry",
    "iam:ListInstanceProfiles": "lists, and IAM cannot restrict it",
    "pricing:GetProducts": "prices have no ARN",
    "sts:GetCallerIdentity": "says who one is",
    "xray:GetSamplingRules": "X-Ray knows no resource for it",
    "xray:GetSamplingTargets": "X-Ray knows no resource for it",
    "xray:PutTelemetryRecords": "X-Ray knows no resource for it",
    "xray:PutTraceSegments": "X-Ray knows no resource for it",
}


def listed(value: Any) -> list[Any]:
    """A value of a policy as the list that it may be."""
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def documents(value: Any) -> Iterator[dict[str, Any]]:
    """The policies within a value, texts of JSON included."""
    if isinstance(value, str) and value.startswith('{"Version"'):
        value = json.loads(value)
    if isinstance(value, dict) and "Statement" in value:
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from documents(each)


def loose_actions(statements: list[dict[str, Any]]) -> list[str]:
    """The allowed actions that are not named, or not about named resources."""
    return [
        action
        for statement in statements
        if statement["Effect"] == "Allow"
        # A policy of a role's trust has no resource: it is about the role.
        for action in listed(statement.get("Action")) or ["all but some"]
        if "*" in action
        or action == "all but some"
        or ("*" in listed(statement.get("Resource")) and action not in WITHOUT_RESOURCE)
        or "NotResource" in statement
    ]


def open_statements(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The statements that allow somebody outside something."""
    return [
        each
        for each in statements
        if each["Effect"] == "Allow" and each.get("Principal") in ("*", {"AWS": "*"})
    ]
