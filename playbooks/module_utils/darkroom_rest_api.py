"""A REST API of API Gateway as it is on AWS: its routes, its stage, what it refuses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible.module_utils.darkroom_apigateway import listed, tags_of
from ansible.module_utils.darkroom_refusals import refusals_as_they_are


def method_as_it_is(method: dict[str, Any]) -> dict[str, Any]:
    """A method of AWS in the same form."""
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
        """Path, name and description of every method."""
        for path, resource in self.resources.items():
            for name, method in (resource.get("resourceMethods") or {}).items():
                yield path, name, method

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """Everything that a task can ask for, as it is."""
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
        """The stage of that name."""
        answer = self.client.get_stages(restApiId=self.id, aws_retry=True)
        stages: list[dict[str, Any]] = answer.get("item", [])
        return next((stage for stage in stages if stage["stageName"] == name), None)

    def deployed(self, stage: dict[str, Any]) -> str | None:
        """The hash of the routes that a stage serves."""
        found = {
            deployment["id"]: deployment.get("description")
            for deployment in listed(self.client, "get_deployments", restApiId=self.id)
        }
        return found.get(stage.get("deploymentId", ""))

    def resource(self, path: str) -> str:
        """The id of the resource of a path, which is made if it is missing."""
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
            apiKeyRequired=wanted["key_required"],
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
