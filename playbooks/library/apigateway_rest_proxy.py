#!/usr/bin/python
"""A REST API of API Gateway that hands requests on to one HTTP server, as an Ansible module."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.darkroom_apigateway import listed, named, set_tags, tags_of
from ansible.module_utils.darkroom_errors import told
from ansible.module_utils.darkroom_refusals import (
    put_refusal,
    refusals_as_they_are,
    wanted_refusals,
)
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
        description: Methods, or C(ANY).
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
    """Give what the task asks for; `deployed` is a hash of what a stage serves."""
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
    """Give a method and its integration as they are compared."""
    names = re.findall(r"{(\w+)\+?}", path)
    taken = {f"path.{name}": f"method.request.path.{name}" for name in names}
    link = given["vpc_link_id"]
    return {
        "key_required": True,
        "parameters": {f"method.request.{name}": True for name in (*taken, KEY)},
        "uri": given["server"].rstrip("/") + path.replace("+}", "}"),
        "method": method,
        "through": f"VPC_LINK {link}" if link else "INTERNET",
        "handed_on": {
            f"integration.request.{name}": source
            for name, source in {**taken, KEY: f"method.request.{KEY}"}.items()
        },
        "transfer": "STREAM" if given["streams"] else "BUFFERED",
        "timeout_ms": given["timeout_ms"],
    }


def method_as_it_is(method: dict[str, Any]) -> dict[str, Any]:
    """Give a method of AWS in the same form."""
    behind = method.get("methodIntegration", {})
    through = behind.get("connectionType", "INTERNET")
    if through == "VPC_LINK":
        through += f" {behind.get('connectionId')}"
    return {
        "key_required": method.get("apiKeyRequired", False),
        "parameters": method.get("requestParameters", {}),
        "uri": behind.get("uri"),
        "method": behind.get("httpMethod"),
        "through": through,
        "handed_on": behind.get("requestParameters", {}),
        "transfer": behind.get("responseTransferMode", "BUFFERED"),
        "timeout_ms": behind.get("timeoutInMillis"),
    }


class Api:
    """One REST API, as it is on AWS."""

    def __init__(self, client: Any, api_id: str) -> None:
        self.client = client
        self.id = api_id
        self.resources: dict[str, dict[str, Any]] = {}
        self.look()

    def look(self) -> None:
        """Read its resources, by path."""
        found = listed(self.client, "get_resources", restApiId=self.id, embed=["methods"])
        self.resources = {resource["path"]: resource for resource in found}

    def methods(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        """Give path, name and description of every method."""
        for path, resource in self.resources.items():
            for name, method in (resource.get("resourceMethods") or {}).items():
                yield path, name, method

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """Give everything that a task can ask for, as it is."""
        stage = self.stage(given["stage"]) or {}
        every = stage.get("methodSettings", {}).get("*/*", {})
        return {
            "routes": {
                f"{name} {path}": method_as_it_is(method)
                for path, name, method in self.methods()
            },
            "refusals": refusals_as_they_are(self.client, self.id, given["refusals"]),
            "deployed": self.deployed(stage),
            "stage": {
                "tracing": stage.get("tracingEnabled", False),
                "metrics": every.get("metricsEnabled", False),
            },
            "tags": tags_of(self.client, f"restapis/{self.id}", given["tags"]),
        }

    def stage(self, name: str) -> dict[str, Any] | None:
        """Give the stage of that name."""
        answer = self.client.get_stages(restApiId=self.id, aws_retry=True)
        stages: list[dict[str, Any]] = answer.get("item", [])
        return next((stage for stage in stages if stage["stageName"] == name), None)

    def deployed(self, stage: dict[str, Any]) -> str | None:
        """Give the hash of the routes that a stage serves."""
        found = {
            deployment["id"]: deployment.get("description")
            for deployment in listed(self.client, "get_deployments", restApiId=self.id)
        }
        return found.get(stage.get("deploymentId", ""))

    def resource(self, path: str) -> str:
        """Give the id of the resource of a path, which is made if it is missing."""
        if path not in self.resources:
            above, _, part = path.rpartition("/")
            made = self.client.create_resource(
                restApiId=self.id,
                parentId=self.resource(above or "/"),
                pathPart=part,
                aws_retry=True,
            )
            self.resources[path] = {"id": made["id"], "path": path}
        found: str = self.resources[path]["id"]
        return found

    def put(self, path: str, name: str, wanted: dict[str, Any]) -> None:
        """Make a method with its integration, in place of one that is there."""
        place = {"restApiId": self.id, "resourceId": self.resource(path), "httpMethod": name}
        if name in (self.resources[path].get("resourceMethods") or {}):
            self.client.delete_method(**place, aws_retry=True)
        self.client.put_method(
            **place,
            authorizationType="NONE",
            apiKeyRequired=True,
            requestParameters=wanted["parameters"],
            aws_retry=True,
        )
        through, _, link = wanted["through"].partition(" ")
        self.client.put_integration(
            **place,
            type="HTTP_PROXY",
            integrationHttpMethod=wanted["method"],
            uri=wanted["uri"],
            connectionType=through,
            requestParameters=wanted["handed_on"],
            responseTransferMode=wanted["transfer"],
            timeoutInMillis=wanted["timeout_ms"],
            **({"connectionId": link} if link else {}),
            aws_retry=True,
        )

    def drop_others(self, routes: dict[str, Any]) -> None:
        """Remove methods that are not wanted, and resources that then lead nowhere."""
        for path, name, _ in list(self.methods()):
            if f"{name} {path}" not in routes:
                self.client.delete_method(
                    restApiId=self.id,
                    resourceId=self.resources[path]["id"],
                    httpMethod=name,
                    aws_retry=True,
                )
        wanted = [route.partition(" ")[2] for route in routes]
        for path in sorted(self.resources, key=len, reverse=True):
            if path != "/" and not any(f"{at}/".startswith(f"{path}/") for at in wanted):
                self.client.delete_resource(
                    restApiId=self.id, resourceId=self.resources[path]["id"], aws_retry=True
                )

    def deploy(self, stage: str, known: str) -> None:
        """Let a stage serve the routes as they are now."""
        self.client.create_deployment(
            restApiId=self.id, stageName=stage, description=known, aws_retry=True
        )
        stages = self.client.get_stages(restApiId=self.id, aws_retry=True).get("item", [])
        serving = {each.get("deploymentId") for each in stages}
        # An API may have 300 deployments; those that no stage serves are of no use.
        for deployment in listed(self.client, "get_deployments", restApiId=self.id):
            if deployment["id"] not in serving:
                self.client.delete_deployment(
                    restApiId=self.id, deploymentId=deployment["id"], aws_retry=True
                )

    def set_stage(self, name: str, wanted: dict[str, bool]) -> None:
        """Set what a stage records."""
        self.client.update_stage(
            restApiId=self.id,
            stageName=name,
            patchOperations=[
                {"op": "replace", "path": path, "value": str(value).lower()}
                for path, value in (
                    ("/tracingEnabled", wanted["tracing"]),
                    ("/*/*/metrics/enabled", wanted["metrics"]),
                )
            ],
            aws_retry=True,
        )


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
