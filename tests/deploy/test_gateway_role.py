from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from ansible_runs import Ansible
from modules import Modules

STACK = "sdoneks"
SECRET = f"{STACK}/api-key"
KEY = "a-key-of-forty-characters-for-the-client"
VARIABLES: dict[str, Any] = {
    "deployment": {"stack": STACK, "stage_name": "dev", "rate_limit": 30, "burst_limit": 50},
    "deployment_partition": "aws",
    "deployment_region": "us-east-1",
    "deployment_dns_suffix": "amazonaws.com",
    "deployment_tags": {"darkroom/stack": STACK},
    "platform_api_key_secret": SECRET,
    "kubernetes_apply": False,
    "emulator_lacks": [
        "apigateway:CreateVpcLink",
        "apigateway:GetGatewayResponses",
        "apigateway:PutIntegration:responseTransferMode",
    ],
}


class Echo(BaseHTTPRequestHandler):
    """A server behind the gateway that tells what reached it."""

    def do_POST(self) -> None:  # the base class names it
        taken = self.rfile.read(int(self.headers["Content-Length"]))
        seen = {"path": self.path, "key": self.headers["x-api-key"], "body": taken.decode()}
        answer = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=running.serve_forever)
    thread.start()
    yield running.server_port
    running.shutdown()
    running.server_close()
    thread.join()


def make_load_balancer(ansible: Ansible, tags: dict[str, str]) -> str:
    """Do what Kubernetes does for a Service."""
    subnets = ansible.client("ec2").describe_subnets()["Subnets"]
    made = ansible.client("elbv2").create_load_balancer(
        Name="a0123456789abcdef",
        Type="network",
        Scheme="internal",
        Subnets=[subnets[0]["SubnetId"]],
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    arn: str = made["LoadBalancers"][0]["LoadBalancerArn"]
    return arn


@pytest.fixture(scope="module")
def opened(ansible: Ansible, server: int) -> Ansible:
    """An account in which the gateway is open, before a server of the test."""
    ansible.client("secretsmanager").create_secret(Name=SECRET, SecretString=KEY)
    make_load_balancer(
        ansible,
        {
            "kubernetes.io/service-name": "darkroom/ingest",
            f"kubernetes.io/cluster/{STACK}": "owned",
        },
    )
    assert ansible.roles("gateway", variables=VARIABLES, check=True).changed > 0
    assert not ansible.client("apigateway").get_rest_apis()["items"]
    # The emulator resolves no names of load balancers, so the API goes to the test's server.
    first = ansible.roles("gateway", variables=VARIABLES | away(server))
    assert first.changed > 0
    return ansible


def away(port: int) -> dict[str, Any]:
    return {"__gateway_server": f"http://127.0.0.1:{port}"}


def the_api(ansible: Ansible) -> str:
    (api,) = ansible.client("apigateway").get_rest_apis()["items"]
    assert api["name"] == STACK
    assert api["endpointConfiguration"]["types"] == ["REGIONAL"]
    return str(api["id"])


def call(ansible: Ansible, path: str, key: str | None) -> tuple[int, dict[str, Any]]:
    """Call the API as a client does, and give status and answer."""
    url = f"{ansible.endpoint}/_aws/execute-api/{the_api(ansible)}/dev{path}"
    headers = {"Content-Type": "application/json", **({"x-api-key": key} if key else {})}
    request = urllib.request.Request(url, data=b'{"task": 1}', headers=headers)  # noqa: S310  # our own
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310  # the emulator
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"{}")


def test_second_run_changes_nothing(opened: Ansible, server: int) -> None:
    assert opened.roles("gateway", variables=VARIABLES | away(server)).changed == 0


def test_stage_traces_counts_and_serves_the_four_routes(opened: Ansible) -> None:
    gateway, api = opened.client("apigateway"), the_api(opened)
    stage = gateway.get_stage(restApiId=api, stageName="dev")
    resources = gateway.get_resources(restApiId=api, embed=["methods"])["items"]

    assert stage["tracingEnabled"] is True
    assert stage["methodSettings"]["*/*"]["metricsEnabled"] is True
    assert len(gateway.get_deployments(restApiId=api)["items"]) == 1
    routes = {
        (resource["path"], name, method["apiKeyRequired"])
        for resource in resources
        for name, method in resource.get("resourceMethods", {}).items()
    }
    behind = [
        method["methodIntegration"]
        for resource in resources
        for method in resource.get("resourceMethods", {}).values()
    ]
    assert {each["timeoutInMillis"] for each in behind} == {900_000}
    assert routes == {
        ("/v1alpha1", "POST", True),
        ("/v1alpha2", "POST", True),
        ("/v1/{proxy+}", "ANY", True),
        ("/openapi.json", "GET", True),
    }


def test_pages_of_other_origins_may_ask_on_each_route_without_a_key(
    opened: Ansible, server: int
) -> None:
    origins = {"platform_values": {"ingest": {"settings": {"cors_origins": ["https://a"]}}}}
    api, gateway = the_api(opened), opened.client("apigateway")

    assert opened.roles("gateway", variables=VARIABLES | away(server) | origins).changed == 1

    resources = gateway.get_resources(restApiId=api, embed=["methods"])["items"]
    preflights = {
        resource["path"]: resource["resourceMethods"]["OPTIONS"]
        for resource in resources
        if "OPTIONS" in resource.get("resourceMethods", {})
    }
    assert set(preflights) == {"/openapi.json", "/v1/{proxy+}", "/v1alpha1", "/v1alpha2"}
    for path, method in preflights.items():
        behind = method["methodIntegration"]
        assert (method["apiKeyRequired"], behind["httpMethod"]) == (False, "OPTIONS")
        assert "method.request.header.x-api-key" not in method["requestParameters"]
        assert behind["uri"] == f"http://127.0.0.1:{server}{path.replace('+}', '}')}"
    assert call(opened, "/v1/tasks/abc", None)[0] == 403
    assert opened.roles("gateway", variables=VARIABLES | away(server)).changed == 1


def test_plan_has_rate_burst_stage_and_key(opened: Ansible) -> None:
    gateway = opened.client("apigateway")
    (plan,) = gateway.get_usage_plans()["items"]
    (key,) = gateway.get_usage_plan_keys(usagePlanId=plan["id"])["items"]

    assert plan["throttle"] == {"rateLimit": 30.0, "burstLimit": 50}
    assert plan["apiStages"] == [{"apiId": the_api(opened), "stage": "dev"}]
    assert gateway.get_api_key(apiKey=key["id"], includeValue=True)["value"] == KEY


def test_call_with_the_key_reaches_the_server_with_it(opened: Ansible) -> None:
    status, seen = call(opened, "/v1alpha2", KEY)

    assert status == 200
    assert seen == {"path": "/v1alpha2", "key": KEY, "body": '{"task": 1}'}
    assert call(opened, "/v1/tasks/abc/anything", KEY)[1]["path"] == "/v1/tasks/abc/anything"


@pytest.mark.parametrize("key", [None, "another-key-of-forty-characters-here"])
def test_call_without_the_key_is_forbidden(opened: Ansible, key: str | None) -> None:
    assert call(opened, "/v1alpha2", key)[0] == 403


def test_operators_routes_are_not_served(opened: Ansible) -> None:
    assert call(opened, "/metrics", KEY)[0] in {403, 404}


def test_changed_route_is_deployed_again_and_the_old_deployment_goes(
    opened: Ansible, server: int
) -> None:
    gateway, api = opened.client("apigateway"), the_api(opened)
    (before,) = gateway.get_deployments(restApiId=api)["items"]
    fewer = {"gateway_routes": [{"path": "/v1alpha2", "methods": ["POST"]}]}

    assert opened.roles("gateway", variables=VARIABLES | away(server) | fewer).changed == 1

    (after,) = gateway.get_deployments(restApiId=api)["items"]
    assert before["id"] != after["id"]
    assert call(opened, "/v1alpha1", KEY)[0] in {403, 404}
    assert call(opened, "/v1alpha2", KEY)[0] == 200
    assert opened.roles("gateway", variables=VARIABLES | away(server)).changed == 1


def test_rotated_secret_is_the_new_key_and_its_hash_is_told(
    opened: Ansible, server: int, modules: Modules
) -> None:
    rotated = KEY[::-1]
    opened.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=rotated)

    told = modules.at(opened.endpoint).run("apigateway_key", name=STACK, secret=SECRET)

    assert told["sha256"] == hashlib.sha256(rotated.encode()).hexdigest()
    assert rotated not in json.dumps(told)
    run = opened.roles("gateway", variables=VARIABLES | away(server))
    assert rotated not in run.output
    assert call(opened, "/v1alpha2", rotated)[0] == 200
    assert call(opened, "/v1alpha2", KEY)[0] == 403


def test_no_gateway_removes_the_api_and_names_the_load_balancer(opened: Ansible) -> None:
    told = {"gateway_type": "none"}

    run = opened.roles("gateway", variables=VARIABLES | told)

    assert run.changed == 2
    assert not opened.client("apigateway").get_rest_apis()["items"]
    assert not opened.client("apigateway").get_usage_plans()["items"]
    assert opened.roles("gateway", variables=VARIABLES | told).changed == 0
