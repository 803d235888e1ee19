"""Attributes as SNS and SQS have them: text by name, some of it JSON."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def as_json(document: object) -> str:
    """One text for equal documents."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def differing(current: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """The wanted attributes that are not as wanted; an absent one is as if empty."""
    return {
        name: value
        for name, value in wanted.items()
        if _parsed(current.get(name, "")) != _parsed(value)
    }


def arn_of(module: Any, service: str) -> str:
    """The ARN that a topic or queue of the name has, also while there is none."""
    sts = module.client("sts", retry_decorator=AWSRetry.jittered_backoff())
    account = sts.get_caller_identity(aws_retry=True)["Account"]
    where = f"{sts.meta.region_name}:{account}"
    return f"arn:{sts.meta.partition}:{service}:{where}:{module.params['name']}"


def missing_tags(current: dict[str, str], wanted: dict[str, str] | None) -> dict[str, str]:
    """The wanted tags that are not there; tags of others stay."""
    return {k: v for k, v in (wanted or {}).items() if current.get(k) != v}


def _parsed(value: str) -> object:
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return "" if parsed == {} else parsed
