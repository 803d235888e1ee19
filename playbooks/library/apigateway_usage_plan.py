#!/usr/bin/python
"""A usage plan of API Gateway with its stages and keys, as an Ansible module."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.darkroom_apigateway import listed, named, set_tags, tags_of
from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: apigateway_usage_plan
short_description: Make or remove a usage plan, with its rate, its stages and its keys
options:
  name:
    description: Name of the plan.
    type: str
    required: true
  rate:
    description: Requests a second that a key may make on average. Required to make a plan.
    type: float
  burst:
    description: Requests that a key may make at once. Required to make a plan.
    type: int
  stages:
    description: Stages of the plan, each as C(<id of the API>:<stage>); it loses others.
    type: list
    elements: str
    default: []
  keys:
    description: Ids of the keys of the plan. Others stay, since people may have added them.
    type: list
    elements: str
    default: []
  tags:
    description: Tags of the plan; others stay.
    type: dict
    default: {}
  state:
    description: Whether the plan is there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Let the key make 30 requests a second
  apigateway_usage_plan:
    name: sdoneks
    rate: 30
    burst: 50
    stages: ["{{ api_id }}:dev"]
    keys: ["{{ key_id }}"]
"""

RETURN = r"""
usage_plan_id:
  description: Id of the plan; empty in check mode for one that is not there yet.
  type: str
  returned: when state is present
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"required": True},
            "rate": {"type": "float"},
            "burst": {"type": "int"},
            "stages": {"type": "list", "elements": "str", "default": []},
            "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "tags": {"type": "dict", "default": {}},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["rate", "burst"])],
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("apigateway", retry_decorator=AWSRetry.jittered_backoff())
        found = named(module, client, "get_usage_plans", module.params["name"])
        if module.params["state"] == "absent":
            remove(module, client, found)
        make(module, client, found)


def make(module: Any, client: Any, found: dict[str, Any] | None) -> None:
    """Find or make the plan, change what differs, and end."""
    before = as_it_is(module, client, found) if found else {}
    after = as_it_should_be(module)
    changed = before != after
    if changed and not module.check_mode:
        if found is None:
            found = create(module, client)
            before = as_it_is(module, client, found)
        update(client, found, before, after)
    module.exit_json(
        changed=changed,
        diff={"before": before, "after": after},
        usage_plan_id=found["id"] if found else "",
    )


def as_it_should_be(module: Any) -> dict[str, Any]:
    """What the task asks for."""
    given = module.params
    return {
        "rate": given["rate"],
        "burst": given["burst"],
        "stages": sorted(given["stages"]),
        "keys": sorted(given["keys"]),
        "tags": given["tags"],
    }


def as_it_is(module: Any, client: Any, plan: dict[str, Any]) -> dict[str, Any]:
    """What AWS has, in the same form."""
    throttle = plan.get("throttle", {})
    keys = {key["id"] for key in listed(client, "get_usage_plan_keys", usagePlanId=plan["id"])}
    return {
        "rate": throttle.get("rateLimit"),
        "burst": throttle.get("burstLimit"),
        "stages": sorted(f"{at['apiId']}:{at['stage']}" for at in plan.get("apiStages", [])),
        "keys": sorted(keys & set(module.params["keys"])),
        "tags": tags_of(client, f"usageplans/{plan['id']}", module.params["tags"]),
    }


def create(module: Any, client: Any) -> dict[str, Any]:
    """Make the plan, without keys."""
    stages = [stage.split(":", 1) for stage in module.params["stages"]]
    made: dict[str, Any] = client.create_usage_plan(
        name=module.params["name"],
        throttle={
            "rateLimit": module.params["rate"],
            "burstLimit": module.params["burst"],
        },
        apiStages=[{"apiId": api_id, "stage": name} for api_id, name in stages],
        tags=module.params["tags"],
        aws_retry=True,
    )
    return made


def update(
    client: Any, plan: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Change what differs."""
    patches = [
        {"op": "replace", "path": f"/throttle/{path}", "value": str(after[key])}
        for key, path in (("rate", "rateLimit"), ("burst", "burstLimit"))
        if before[key] != after[key]
    ]
    patches += stage_patches(before["stages"], after["stages"])
    if patches:
        client.update_usage_plan(
            usagePlanId=plan["id"], patchOperations=patches, aws_retry=True
        )
    for key in sorted(set(after["keys"]) - set(before["keys"])):
        client.create_usage_plan_key(
            usagePlanId=plan["id"], keyId=key, keyType="API_KEY", aws_retry=True
        )
    set_tags(client, f"usageplans/{plan['id']}", after["tags"])


def stage_patches(before: list[str], after: list[str]) -> list[dict[str, str]]:
    """The patches that take stages from a plan and add others."""
    changes = [("remove", sorted(set(before) - set(after)))]
    changes += [("add", sorted(set(after) - set(before)))]
    return [
        {"op": operation, "path": "/apiStages", "value": stage}
        for operation, stages in changes
        for stage in stages
    ]


def remove(module: Any, client: Any, found: dict[str, Any] | None) -> None:
    """Remove the plan, whose stages have to go first, and end."""
    if found and not module.check_mode:
        stages = as_it_is(module, client, found)["stages"]
        if stages:
            client.update_usage_plan(
                usagePlanId=found["id"],
                patchOperations=stage_patches(stages, []),
                aws_retry=True,
            )
        client.delete_usage_plan(usagePlanId=found["id"], aws_retry=True)
    module.exit_json(changed=found is not None)


if __name__ == "__main__":
    main()
