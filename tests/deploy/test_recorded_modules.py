"""Modules whose calls the emulator lacks, against answers of AWS's documented form."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from modules import Modules
from recorded import Answers, recorded

BALANCER = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/a1/0123"
INSTANCE = "i-0123456789abcdef0"
COMMAND = "0831e1a8-a1ac-4257-a1fd-c831bb4a3d5f"


def link(link_id: str, status: str, target: str = BALANCER, **more: str) -> dict[str, Any]:
    return {
        "id": link_id,
        "name": "sdoneks",
        "targetArns": [target],
        "status": status,
        **more,
    }


def test_new_link_is_awaited(modules: Modules) -> None:
    answers: Answers = {
        "GET /vpclinks": [(200, {"item": []})],
        "POST /vpclinks": [(202, link("a1", "PENDING"))],
        "GET /vpclinks/a1": [(200, link("a1", "PENDING")), (200, link("a1", "AVAILABLE"))],
    }
    with recorded(answers) as aws:
        made = modules.at(aws.url).run(
            "apigateway_vpc_link",
            name="sdoneks",
            target_arn=BALANCER,
            tags={"darkroom/stack": "sdoneks"},
            poll_seconds=0.01,
        )

    assert (made["changed"], made["vpc_link_id"]) == (True, "a1")
    assert aws.calls("POST /vpclinks") == [
        {
            "name": "sdoneks",
            "targetArns": [BALANCER],
            "tags": {"darkroom/stack": "sdoneks"},
        }
    ]
    assert len(aws.calls("GET /vpclinks/a1")) == 2


def test_link_that_is_there_is_left(modules: Modules) -> None:
    listed = [link("old", "AVAILABLE", target=f"{BALANCER}-gone"), link("a1", "AVAILABLE")]
    with recorded({"GET /vpclinks": [(200, {"item": listed})]}) as aws:
        found = modules.at(aws.url).run(
            "apigateway_vpc_link", name="sdoneks", target_arn=BALANCER
        )

    assert (found["changed"], found["vpc_link_id"]) == (False, "a1")
    assert [call for call, _ in aws.asked] == ["GET /vpclinks"]


def test_link_that_fails_is_told_with_its_reason(modules: Modules) -> None:
    failed = link("a1", "FAILED", statusMessage="NLB is already associated")
    answers: Answers = {
        "GET /vpclinks": [(200, {"item": []})],
        "POST /vpclinks": [(202, failed)],
    }
    with recorded(answers) as aws:
        told = modules.at(aws.url).run(
            "apigateway_vpc_link", name="sdoneks", target_arn=BALANCER, fails=True
        )

    assert told["msg"] == "VPC link a1 failed: NLB is already associated"


def test_links_to_load_balancers_that_are_gone_are_removed(modules: Modules) -> None:
    listed = [
        link("old", "AVAILABLE", target=f"{BALANCER}-gone"),
        link("a1", "AVAILABLE"),
        {**link("other", "AVAILABLE"), "name": "another stack"},
    ]
    answers: Answers = {
        "GET /vpclinks": [(200, {"item": listed})],
        "DELETE /vpclinks/old": [(202, {})],
    }
    with recorded(answers) as aws:
        checked = modules.at(aws.url).run(
            "apigateway_vpc_link", name="sdoneks", keep=["a1"], state="absent", check=True
        )
        assert not aws.calls("DELETE /vpclinks/old")
        removed = modules.at(aws.url).run(
            "apigateway_vpc_link", name="sdoneks", keep=["a1"], state="absent"
        )

    assert checked["removed"] == removed["removed"] == ["old"]
    assert len(aws.calls("DELETE /vpclinks/old")) == 1


def test_plan_moves_to_a_new_stage_and_rate(modules: Modules) -> None:
    plan = {
        "id": "p1",
        "name": "sdoneks",
        "throttle": {"rateLimit": 10.0, "burstLimit": 50},
        "apiStages": [{"apiId": "old", "stage": "prod"}],
    }
    tags = "GET /tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fusageplans%2Fp1"
    answers: Answers = {
        "GET /usageplans": [(200, {"item": [plan]})],
        "GET /usageplans/p1/keys": [(200, {"item": [{"id": "k1", "name": "x"}]})],
        "PATCH /usageplans/p1": [(200, plan)],
        "POST /usageplans/p1/keys": [(201, {"id": "k2"})],
        tags: [(200, {"tags": {}})],
    }
    with recorded(answers) as aws:
        changed = modules.at(aws.url).run(
            "apigateway_usage_plan",
            name="sdoneks",
            rate=30,
            burst=50,
            stages=["new:dev"],
            keys=["k1", "k2"],
        )

    assert changed["changed"] is True
    assert aws.calls("PATCH /usageplans/p1") == [
        {
            "patchOperations": [
                {"op": "replace", "path": "/throttle/rateLimit", "value": "30.0"},
                {"op": "remove", "path": "/apiStages", "value": "old:prod"},
                {"op": "add", "path": "/apiStages", "value": "new:dev"},
            ]
        }
    ]
    assert aws.calls("POST /usageplans/p1/keys") == [{"keyId": "k2", "keyType": "API_KEY"}]


ONLINE = {"InstanceInformationList": [{"InstanceId": INSTANCE, "PingStatus": "Online"}]}


def command(*statuses: str, **more: str) -> Answers:
    """The answers of a command that passes through these states."""
    absent = (400, {"__type": "InvocationDoesNotExist", "message": "not yet"})
    seen = [(200, {"CommandId": COMMAND, "Status": status, **more}) for status in statuses]
    return {
        "DescribeInstanceInformation": [(200, {"InstanceInformationList": []}), (200, ONLINE)],
        "SendCommand": [(200, {"Command": {"CommandId": COMMAND}})],
        "GetCommandInvocation": [absent, *seen],
        "CancelCommand": [(200, {})],
    }


def send(modules: Modules, **more: Any) -> dict[str, Any]:
    given = {"instance_id": INSTANCE, "commands": ["one", "two"], "poll_seconds": 0.01, **more}
    return modules.run("ssm_command", **given)


def test_command_waits_for_the_agent_and_for_its_end(modules: Modules) -> None:
    answers = command("Pending", "InProgress", "Success", StandardOutputContent="done\n")
    with recorded(answers) as aws:
        ended = send(modules.at(aws.url), wait_seconds=90)

    assert (ended["status"], ended["stdout"]) == ("Success", "done\n")
    (sent,) = aws.calls("SendCommand")
    assert sent["InstanceIds"] == [INSTANCE]
    assert sent["DocumentName"] == "AWS-RunShellScript"
    assert sent["Parameters"] == {
        "commands": ["set -e", "one", "two"],
        "executionTimeout": ["90"],
    }
    assert len(aws.calls("DescribeInstanceInformation")) == 2
    assert len(aws.calls("GetCommandInvocation")) == 4


def test_command_that_fails_is_told_with_what_it_printed(modules: Modules) -> None:
    answers = command("Failed", StatusDetails="NonZeroExitCode", StandardErrorContent="no disk")
    with recorded(answers) as aws:
        ended = send(modules.at(aws.url), fails=True)

    assert ended["msg"] == f"the command on {INSTANCE} ended with NonZeroExitCode: no disk"


def test_agent_that_is_never_online_is_told_with_what_to_look_at(modules: Modules) -> None:
    silent: Answers = {"DescribeInstanceInformation": [(200, {"InstanceInformationList": []})]}
    with recorded(silent) as aws:
        ended = send(modules.at(aws.url), fails=True, online_seconds=0)

    assert "AmazonSSMManagedInstanceCore" in ended["msg"]


def test_check_sends_no_command(modules: Modules) -> None:
    with recorded({}) as aws:
        assert send(modules.at(aws.url), check=True)["changed"] is True

    assert not aws.asked


def test_an_entry_waits_until_eks_knows_its_new_role(modules: Modules) -> None:
    unknown = "The specified principalArn is invalid: invalid principal."
    role = "arn:aws:iam::123456789012:role/nodes"
    entry = {"principalArn": role, "type": "EC2_LINUX", "accessEntryArn": "arn", "tags": {}}
    path = "/clusters/sdoneks/access-entries"
    absent = {"__type": "ResourceNotFoundException", "message": "none"}
    answers: Answers = {
        f"GET {path}/{quote(role, safe='')}": [(404, absent), (200, {"accessEntry": entry})],
        f"POST {path}": [
            (400, {"__type": "InvalidParameterException", "message": unknown}),
            (200, {"accessEntry": entry}),
        ],
    }
    with recorded(answers) as aws:
        made = modules.at(aws.url).run(
            "eks_access_entry", cluster_name="sdoneks", principal_arn=role, type="EC2_LINUX"
        )

    assert made["changed"]
    assert len(aws.calls(f"POST {path}")) == 2


@pytest.mark.parametrize(
    ("open_seconds", "code", "sent"),
    [pytest.param(60, 400, 2, id="taken later"), pytest.param(0, 403, 1, id="never taken")],
)
def test_a_request_is_sent_again_while_the_gateway_does_not_know_the_key(
    modules: Modules, open_seconds: int, code: int, sent: int
) -> None:
    answers: Answers = {
        "POST /v1alpha2": [(403, {"message": "Forbidden"}), (400, {"message": "no prompt"})]
    }
    task = {"metadata": {"id": "first"}}
    with recorded(answers) as aws:
        told = modules.at(aws.url).run(
            "image_verification",
            endpoint=aws.url,
            api_key="a-key-of-ours",
            requests=[{"task": task}],
            queue_url=f"{aws.url}/queue",
            open_seconds=open_seconds,
            fails=True,
        )

    assert f"first was refused with {code}" in told["msg"]
    assert aws.calls("POST /v1alpha2") == [{"task": task}] * sent


def test_an_api_refuses_in_our_words_and_streams(modules: Modules) -> None:
    api = {"id": "a1", "name": "sdoneks"}
    refusal = {
        "case": "THROTTLED",
        "status": 429,
        "code": "throttled",
        "title": "Too many requests",
        "detail": "this key asks too fast",
        "retry_after": 1,
    }
    place = "/restapis/a1/resources/r1/methods/GET"
    refusing = "PUT /restapis/a1/gatewayresponses/THROTTLED"
    answers: Answers = {
        "GET /restapis": [(200, {"item": [api]})],
        "GET /restapis/a1/resources?embed=methods": [
            (200, {"item": [{"id": "r1", "path": "/x"}]})
        ],
        "GET /restapis/a1/stages": [(200, {"item": [{"stageName": "dev"}]})],
        "GET /restapis/a1/deployments": [(200, {"item": []})],
        "GET /restapis/a1/gatewayresponses?limit=500": [
            (200, {"item": [{"responseType": "THROTTLED", "defaultResponse": True}]})
        ],
        "GET /tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2Fa1": [(200, {})],
        "GET /tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2Fa1%2Fstages%2Fdev": [
            (200, {})
        ],
        f"PUT {place}": [(201, {})],
        f"PUT {place}/integration": [(201, {})],
        refusing: [(201, {})],
        "POST /restapis/a1/deployments": [(201, {"id": "d1"})],
        "PATCH /restapis/a1/stages/dev": [(200, {})],
    }
    with recorded(answers) as aws:
        modules.at(aws.url).run(
            "apigateway_rest_proxy",
            name="sdoneks",
            server="http://server:8080",
            routes=[{"path": "/x", "methods": ["GET"]}],
            stage="dev",
            streams=True,
            timeout_ms=900_000,
            refusals=[refusal],
        )

    (integration,) = aws.calls(f"PUT {place}/integration")
    assert integration["responseTransferMode"] == "STREAM"
    (put,) = aws.calls(refusing)
    assert put["statusCode"] == "429"
    assert put["responseParameters"] == {
        "gatewayresponse.header.Content-Type": "'application/problem+json'",
        "gatewayresponse.header.Retry-After": "'1'",
    }
    assert json.loads(put["responseTemplates"]["application/json"]) == {
        "type": "urn:darkroom:problem:throttled",
        "title": "Too many requests",
        "status": 429,
        "detail": "this key asks too fast",
        "code": "throttled",
        "errors": [],
    }
    asked = [call for call, _ in aws.asked]
    refused, deployed = asked.index(refusing), asked.index("POST /restapis/a1/deployments")
    assert refused < deployed
