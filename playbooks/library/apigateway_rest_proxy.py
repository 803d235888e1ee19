#!/usr/bin/python
"""A REST API of API Gateway that hands requests on to one HTTP server, as an Ansible module."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ansible.module_utils.darkroom_apigateway import named, set_tags
from ansible.module_utils.darkroom_errors import told
from ansible.module_utils.darkroom_refusals import put_refusal, wanted_refusals
from ansible.module_utils.darkroom_rest_api import Api
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: apigateway_rest_proxy
short_description: Make or remove a regional REST API whose routes all go to one HTTP server
description:
  - Routes are made call by call, those that are not asked for are removed, and a deployment is
    made only when the stage does not serve the routes that are asked for.
  - Every route needs an API key, which is handed on in the header C(x-api-key).
options:
  name:
    description: Name of the API.
    type: str
    required: true
  server:
    description: Base URL of the server, such as C(http://host:8080). Required to make an API.
    type: str
  routes:
    description: Paths, which may end in C({proxy+}), and methods. Required to make an API.
    type: list
    elements: dict
    suboptions:
      path:
        description: Path, with a leading C(/).
        type: str
        required: true
      methods:
        description:
          - Methods, or C(ANY). C(OPTIONS) needs no key: browsers send none with it.
        type: list
        elements: str
        default: [ANY]
  vpc_link_id:
    description: VPC link to the server; without one it is reached over the internet.
    type: str
  streams:
    description: Whether an answer is handed on as it comes, or when it is whole.
    type: bool
    default: false
  timeout_ms:
    description:
      - How long the server may take. AWS takes 50 to 29000, with I(streams) to 900000.
    type: int
    default: 29000
  refusals:
    description: What the gateway itself says when it refuses a request; other cases stay.
    type: list
    elements: dict
    default: []
    suboptions:
      case:
        description: AWS's name of the case, such as C(INVALID_API_KEY).
        type: str
        required: true
      status:
        description: Status of the answer.
        type: int
        required: true
      code:
        description: Stable code, for programs.
        type: str
        required: true
      title:
        description: What the status means.
        type: str
        required: true
      detail:
        description: What a person can do.
        type: str
        required: true
      retry_after:
        description: Seconds after which to ask again, if any.
        type: int
        default: 0
  stage:
    description: Name of the stage. Required to make an API.
    type: str
  tracing:
    description: Whether X-Ray traces the requests.
    type: bool
    default: true
  metrics:
    description: Whether CloudWatch has metrics of each route.
    type: bool
    default: true
  tags:
    description: Tags of the API and of its stage; others stay.
    type: dict
    default: {}
  state:
    description: Whether the API is there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Hand two paths on to a server
  apigateway_rest_proxy:
    name: sdoneks
    server: http://internal.example:8080
    vpc_link_id: abc123
    stage: dev
    routes:
      - path: /v1alpha2
        methods: [POST]
      - path: /v1/{proxy+}
"""

RETURN = r"""
api_id:
  description: Id of the API; empty in check mode for one that is not there yet.
  type: str
  returned: when state is present
deployed:
  description: Whether a deployment was made.
  type: bool
  returned: when state is present
"""

KEY = "header.x-api-key"


def main() -> None:
    """Run the module."""
    route = {
        "path": {"required": True},
        "methods": {"type": "list", "elements": "str", "default": ["ANY"]},
    }
    refusal = {
        **{name: {"required": True} for name in ("case", "code", "title", "detail")},
        "status": {"type": "int", "required": True},
        "retry_after": {"type": "int", "default": 0},
    }
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"required": True},
            "server": {},
            "routes": {"type": "list", "elements": "dict", "options": route},
            "vpc_link_id": {},
            "streams": {"type": "bool", "default": False},
            "timeout_ms": {"type": "int", "default": 29000},
            "refusals": {"type": "list", "elements": "dict", "default": [], "options": refusal},
            "stage": {},
            "tracing": {"type": "bool", "default": True},
            "metrics": {"type": "bool", "default": True},
            "tags": {"type": "dict", "default": {}},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["server", "routes", "stage"])],
        supports_check_mode=True,
    )
    with told(module):
        client = module.client("apigateway", retry_decorator=AWSRetry.jittered_backoff())
        found = named(module, client, "get_rest_apis", module.params["name"])
        if module.params["state"] == "absent":
            if found and not module.check_mode:
                client.delete_rest_api(restApiId=found["id"], aws_retry=True)
            module.exit_json(changed=found is not None)
        make(module, client, found)


def make(module: Any, client: Any, found: dict[str, Any] | None) -> None:
    """Find or make the API, change what differs, and end."""
    after = as_it_should_be(module.params)
    before = Api(client, found["id"]).read(module.params) if found else {}
    diff = {"before": before, "after": after}
    if before != after and not module.check_mode:
        found = found or create(module, client)
        apply(Api(client, found["id"]), module.params, after)
    module.exit_json(
        changed=before != after,
        diff=diff,
        api_id=found["id"] if found else "",
        deployed=not module.check_mode and before.get("deployed") != after["deployed"],
    )


def create(module: Any, client: Any) -> dict[str, Any]:
    """Make an API without routes."""
    made: dict[str, Any] = client.create_rest_api(
        name=module.params["name"],
        endpointConfiguration={"types": ["REGIONAL"]},
        tags=module.params["tags"],
        aws_retry=True,
    )
    return made


def as_it_should_be(given: dict[str, Any]) -> dict[str, Any]:
    """What the task asks for; `deployed` is a hash of what a stage serves."""
    routes = {
        f"{method} {route['path']}": wanted_method(given, route["path"], method)
        for route in given["routes"]
        for method in route["methods"]
    }
    refusals = wanted_refusals(given["refusals"])
    known = json.dumps([routes, refusals], sort_keys=True).encode()
    return {
        "routes": routes,
        "refusals": refusals,
        "deployed": hashlib.sha256(known).hexdigest(),
        "stage": {"tracing": given["tracing"], "metrics": given["metrics"]},
        "tags": given["tags"],
    }


def wanted_method(given: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    """A method and its integration as they are compared."""
    names = re.findall(r"{(\w+)\+?}", path)
    taken = {f"path.{name}": f"method.request.path.{name}" for name in names}
    keyed = method != "OPTIONS"  # a browser asks with it before it sends the key
    passed = {**taken, KEY: f"method.request.{KEY}"} if keyed else taken
    link = given["vpc_link_id"]
    return {
        "key_required": keyed,
        "parameters": {f"method.request.{name}": True for name in passed},
        "uri": given["server"].rstrip("/") + path.replace("+}", "}"),
        "method": method,
        "through": f"VPC_LINK {link}" if link else "INTERNET",
        "handed_on": {f"integration.request.{name}": source for name, source in passed.items()},
        "transfer": "STREAM" if given["streams"] else "BUFFERED",
        "timeout_ms": given["timeout_ms"],
    }


def apply(api: Api, given: dict[str, Any], after: dict[str, Any]) -> None:
    """Change what differs; safe to repeat after a crash."""
    before = api.read(given)
    for route, wanted in after["routes"].items():
        if before["routes"].get(route) != wanted:
            name, _, path = route.partition(" ")
            api.put(path, name, wanted)
    api.drop_others(after["routes"])
    for case, refusal in after["refusals"].items():
        if before["refusals"].get(case) != refusal:
            put_refusal(api.client, api.id, case, refusal)
    if before["deployed"] != after["deployed"]:
        api.deploy(given["stage"], after["deployed"])
    if before["stage"] != after["stage"]:
        api.set_stage(given["stage"], after["stage"])
    for path in (f"restapis/{api.id}", f"restapis/{api.id}/stages/{given['stage']}"):
        set_tags(api.client, path, after["tags"])


if __name__ == "__main__":
    main()
