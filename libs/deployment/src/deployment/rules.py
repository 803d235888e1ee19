"""Rules between the keys of a stack and between its runtimes, which a schema can't express."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployment import original
from deployment.findings import Finding, Path, shown, warning, written

ROLE_NAME_CHARACTERS = 64
LABEL_CHARACTERS = 40
SHORTEST_REGION = len("us-east-1")

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_BUCKET_BEGINNINGS = ("xn--", "sthree-", "amzn-s3-demo-")


def partition_of(region: str) -> str:
    """The partition of a region: `aws`, `aws-cn` or `aws-us-gov`."""
    for beginning, partition in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        if region.startswith(beginning):
            return partition
    return "aws"


def of_stack(values: Mapping[str, Any], region: str | None) -> Iterator[Finding]:
    """What is wrong with the stack, or between its runtimes."""
    yield from _region(region)
    yield from _name(values)
    yield from _bucket(values, region)
    yield from _throttle(values)
    listed = [(path, each) for path, each in original.runtimes(dict(values))]
    yield from _same_names(listed)
    yield from _same_models(listed)
    yield from _same_queues(listed)
    yield from _long_roles(values, listed, region)


def _region(region: str | None) -> Iterator[Finding]:
    if region and not _REGION.fullmatch(region):
        yield Finding(("region",), shown(region), "an AWS region such as us-west-2")


def _name(values: Mapping[str, Any]) -> Iterator[Finding]:
    name = values.get("stackName")
    if not isinstance(name, str):
        return
    if name.lower().startswith(_BUCKET_BEGINNINGS):
        beginnings = ", ".join(_BUCKET_BEGINNINGS)
        yield Finding(
            ("stackName",), shown(name), f"a name that does not begin with {beginnings}"
        )
    if name != name.lower():
        yield warning(("stackName",), shown(name), f"deployed as {name.lower()!r}")


def _bucket(values: Mapping[str, Any], region: str | None) -> Iterator[Finding]:
    arn = values.get("modelBucketArn")
    if not isinstance(arn, str) or not arn.startswith("arn:"):
        return
    bucket = arn.rpartition(":")[2]
    if ".." in bucket or re.fullmatch(r"[0-9.]+", bucket) or bucket.startswith("xn--"):
        yield Finding(
            ("modelBucketArn",), shown(arn), "the ARN of a bucket's name as S3 has it"
        )
    partition = partition_of(region) if region else None
    if partition and arn.split(":")[1] != partition:
        yield Finding(
            ("modelBucketArn",),
            f"{shown(arn)}, a bucket of another partition than region {region}",
            f"arn:{partition}:s3:::{bucket}",
        )


def _throttle(values: Mapping[str, Any]) -> Iterator[Finding]:
    gateway = values.get("APIGW")
    throttle = gateway.get("throttle") if isinstance(gateway, dict) else None
    if not isinstance(throttle, dict):
        return
    rate, burst = throttle.get("rateLimit", 30), throttle.get("burstLimit", 50)
    if isinstance(rate, int) and isinstance(burst, int) and burst < rate:
        yield warning(
            ("APIGW", "throttle", "burstLimit"),
            f"{burst}, less than rateLimit ({rate})",
            f"more than {burst} requests at one moment are throttled",
        )


Listed = list[tuple[Path, dict[str, Any]]]


def _same_names(listed: Listed) -> Iterator[Finding]:
    seen: dict[str, Path] = {}
    for path, name in _texts(listed, "name"):
        other = seen.setdefault(name.lower(), path)
        if other != path:
            found = f"{shown(name)}, the name of {written(other)} as well"
            yield Finding((*path, "name"), found, "a name of its own, whatever its case")
        elif name != name.lower():
            advice = f"deployed as {name.lower()!r}: requests must name it so"
            yield warning((*path, "name"), shown(name), advice)


def _same_models(listed: Listed) -> Iterator[Finding]:
    seen: dict[str, Path] = {}
    webui = [(path, each) for path, each in listed if each.get("type") == "sdwebui"]
    for path, model in _texts(webui, "modelFilename"):
        other = seen.setdefault(model, path)
        if model and other != path:
            yield Finding(
                (*path, "modelFilename"),
                f"{shown(model)}, the model of {written(other)} as well",
                "a model of its own: a request that names it would run in both",
            )


def _same_queues(listed: Listed) -> Iterator[Finding]:
    names = {name.lower(): path for path, name in _texts(listed, "name")}
    for name, path in names.items():
        if name.endswith("-dlq") and (other := name.removesuffix("-dlq")) in names:
            found = f"{shown(name)}, whose queue is the dead-letter queue of {other!r}"
            yield Finding((*path, "name"), found, "a name that does not end in -dlq")


def _long_roles(
    values: Mapping[str, Any], listed: Listed, region: str | None
) -> Iterator[Finding]:
    stack = values.get("stackName")
    if not isinstance(stack, str):
        return
    longest = SHORTEST_REGION if region is None else len(region)
    room = ROLE_NAME_CHARACTERS - len(f"{stack}--queue-agent-") - longest
    for path, name in _texts(listed, "name"):
        # A longer one than a label may be has been refused already.
        if room < len(name) <= LABEL_CHARACTERS:
            yield Finding(
                (*path, "name"),
                f"{shown(name)}, {len(name)} characters",
                f"{max(room, 0)} characters at most, since {stack}-<region>-queue-agent-<name> "
                f"is a role's name, of at most {ROLE_NAME_CHARACTERS}",
            )


def _texts(listed: Listed, key: str) -> Iterator[tuple[Path, str]]:
    for path, runtime in listed:
        text = runtime.get(key)
        if isinstance(text, str):
            yield path, text
