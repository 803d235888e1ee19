from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from ansible_runs import Ansible
from earlier_roles import facts

STACK = "sdoneks"
VARIABLES: dict[str, Any] = {**facts(), "kubernetes_apply": False}


class Echo(BaseHTTPRequestHandler):
    """A server behind the gateway that tells what reached it."""

    def handle_call(self) -> None:
        taken = self.rfile.read(int(self.headers["Content-Length"] or 0))
        seen = {"path": self.path, "key": self.headers["x-api-key"], "body": taken.decode()}
        answer = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_OPTIONS = handle_call  # noqa: N815  # the base class names them

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
def key(ansible: Ansible) -> dict[str, str]:
    """The clients' key, as the stack of the cluster has it made."""
    made: dict[str, str] = ansible.client("apigateway").create_api_key(name=STACK, enabled=True)
    return made


@pytest.fixture(scope="module")
def variables(server: int, key: dict[str, str]) -> dict[str, Any]:
    # The emulator resolves no names of load balancers, so the API goes to the test's server.
    away = {"__gateway_server": f"http://127.0.0.1:{server}"}
    return VARIABLES | away | {"cluster_api_key_id": key["id"]}


@pytest.fixture(scope="module")
def opened(ansible: Ansible, variables: dict[str, Any]) -> Ansible:
    """An account in which the gateway is open, before a server of the test."""
    make_load_balancer(
        ansible,
        {
            "kubernetes.io/service-name": "darkroom/ingest",
            f"kubernetes.io/cluster/{STACK}": "owned",
        },
    )
    assert ansible.roles("gateway", variables=variables, check=True).changed > 0
    assert not ansible.client("apigateway").get_rest_apis()["items"]
    assert ansible.roles("gateway", variables=variables).changed > 0
    return ansible


def outputs(ansible: Ansible) -> dict[str, str]:
    described = ansible.client("cloudformation").describe_stacks(StackName=f"{STACK}Stack")
    listed = described["Stacks"][0]["Outputs"]
    return {each["OutputKey"]: each["OutputValue"] for each in listed}


def the_api(ansible: Ansible) -> str:
    (api,) = ansible.client("apigateway").get_rest_apis()["items"]
    assert api["name"] == STACK
    return str(api["id"])


def call(
    ansible: Ansible, path: str, key: str | None, method: str = "POST"
) -> tuple[int, dict[str, Any]]:
    """Call the API as a client does, and give status and answer."""
    url = f"{ansible.endpoint}/_aws/execute-api/{the_api(ansible)}/dev{path}"
    headers = {"Content-Type": "application/json", **({"x-api-key": key} if key else {})}
    body = b'{"task": 1}' if method == "POST" else None
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310  # our own
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310  # the emulator
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"{}")


def test_second_run_changes_nothing(opened: Ansible, variables: dict[str, Any]) -> None:
    assert opened.roles("gateway", variables=variables).changed == 0


def test_the_endpoint_is_told_by_cloudformation(opened: Ansible) -> None:
    endpoint = f"https://{the_api(opened)}.execute-api.us-east-1.amazonaws.com/dev/"

    assert outputs(opened)["FrontApiEndpoint"] == endpoint


def test_pages_of_other_origins_may_ask_on_each_route_without_a_key(
    opened: Ansible, variables: dict[str, Any]
) -> None:
    origins = {"platform_values": {"ingest": {"settings": {"cors_origins": ["https://a"]}}}}

    assert opened.roles("gateway", variables=variables | origins).changed == 1

    for path in ("/v1alpha1", "/v1alpha2", "/v1/tasks/abc", "/openapi.json"):
        status, seen = call(opened, path, None, "OPTIONS")
        assert (status, seen["path"]) == (200, path)
    assert call(opened, "/v1/tasks/abc", None)[0] == 401
    assert opened.roles("gateway", variables=variables).changed == 1
    assert call(opened, "/v1alpha2", None, "OPTIONS")[0] != 200


def test_plan_has_rate_burst_stage_and_key(opened: Ansible, key: dict[str, str]) -> None:
    gateway = opened.client("apigateway")
    (plan,) = gateway.get_usage_plans()["items"]
    (planned,) = gateway.get_usage_plan_keys(usagePlanId=plan["id"])["items"]

    assert plan["throttle"] == {"rateLimit": 30.0, "burstLimit": 50}
    (stage,) = plan["apiStages"]
    assert (stage["apiId"], stage["stage"]) == (the_api(opened), "dev")
    assert planned["id"] == key["id"]


def test_call_with_the_key_reaches_the_server_with_it(
    opened: Ansible, key: dict[str, str]
) -> None:
    value = key["value"]

    status, seen = call(opened, "/v1alpha2", value)

    assert status == 200
    assert seen == {"path": "/v1alpha2", "key": value, "body": '{"task": 1}'}
    below = call(opened, "/v1/tasks/abc/anything", value)[1]
    assert below["path"] == "/v1/tasks/abc/anything"


@pytest.mark.parametrize("wrong", [None, "another-key-of-forty-characters-here"])
def test_call_without_the_key_is_refused_in_our_words(
    opened: Ansible, wrong: str | None
) -> None:
    status, problem = call(opened, "/v1alpha2", wrong)

    assert (status, problem["code"]) == (401, "unauthorized")


def test_operators_routes_are_not_served(opened: Ansible, key: dict[str, str]) -> None:
    assert call(opened, "/metrics", key["value"])[0] in {403, 404}


def test_changed_route_is_deployed_again_and_the_old_deployment_goes(
    opened: Ansible, key: dict[str, str], variables: dict[str, Any]
) -> None:
    gateway, api = opened.client("apigateway"), the_api(opened)
    (before,) = gateway.get_deployments(restApiId=api)["items"]
    fewer = {"gateway_routes": [{"path": "/v1alpha2", "methods": ["POST"]}]}

    assert opened.roles("gateway", variables=variables | fewer).changed == 1

    (after,) = gateway.get_deployments(restApiId=api)["items"]
    assert before["id"] != after["id"]
    assert call(opened, "/v1alpha1", key["value"])[0] in {403, 404}
    assert call(opened, "/v1alpha2", key["value"])[0] == 200


def test_no_gateway_removes_the_api_and_names_the_load_balancer(
    opened: Ansible, variables: dict[str, Any]
) -> None:
    told = {"gateway_type": "none"}

    assert opened.roles("gateway", variables=variables | told).changed == 1

    assert not opened.client("apigateway").get_rest_apis()["items"]
    assert not opened.client("apigateway").get_usage_plans()["items"]
    assert outputs(opened)["FrontApiEndpoint"] == f"{variables['__gateway_server']}/"
