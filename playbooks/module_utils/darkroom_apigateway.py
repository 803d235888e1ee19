"""What the modules of API Gateway share."""

from __future__ import annotations

from typing import Any


def listed(client: Any, operation: str, **arguments: Any) -> list[dict[str, Any]]:
    """Every item of a listing."""
    pages = client.get_paginator(operation).paginate(**arguments)
    return [item for page in pages for item in page.get("items", [])]


def named(module: Any, client: Any, operation: str, name: str) -> dict[str, Any] | None:
    """The one item of that name; ends the module if there are two."""
    found = [item for item in listed(client, operation) if item.get("name") == name]
    if len(found) > 1:
        ids = ", ".join(item["id"] for item in found)
        module.fail_json(
            msg=f"{len(found)} of {operation} are named {name} ({ids}): remove one"
        )
    return found[0] if found else None


def arn(client: Any, path: str) -> str:
    """The ARN of something of API Gateway, such as `restapis/abc`."""
    partition = client.meta.partition
    return f"arn:{partition}:apigateway:{client.meta.region_name}::/{path}"


def tags_of(client: Any, path: str, wanted: dict[str, str]) -> dict[str, str]:
    """Those tags of something that we set; tags of others do not count."""
    found = client.get_tags(resourceArn=arn(client, path), aws_retry=True).get("tags", {})
    return {key: value for key, value in found.items() if key in wanted}


def set_tags(client: Any, path: str, wanted: dict[str, str]) -> None:
    """Make the tags of something what they should be; tags of others stay."""
    if tags_of(client, path, wanted) != wanted:
        client.tag_resource(resourceArn=arn(client, path), tags=wanted, aws_retry=True)
