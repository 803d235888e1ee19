"""Three runtimes, deployed: no task goes astray."""

from __future__ import annotations

import json

import pytest

from manifests import problems
from sites import ACCOUNT, REGION, ROLES_THAT_RENDER, TRIO, Site

RUNTIMES = ["sdruntime", "anymodel", "comfy"]


def test_a_check_before_the_first_run_says_as_much_as_it_changes(trio: Site) -> None:
    assert 0 < trio.check.changed <= trio.first.changed


def test_the_second_run_changes_nothing(trio: Site) -> None:
    assert trio.first.changed > 0
    assert trio.second.changed == 0, trio.second.output


def test_a_cluster_would_take_every_object_that_is_rendered(trio: Site) -> None:
    found = {f"{file}: {item['kind']}": problems(item) for file, item in trio.rendered()}

    assert {file.split("/")[0] for file in found} == ROLES_THAT_RENDER
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_task_reaches_the_queue_of_its_runtime_and_no_other(trio: Site, runtime: str) -> None:
    trio.publish(runtime=runtime, tasktype="text-to-image")

    received = {name: trio.receive(name) for name in RUNTIMES}

    task = {"runtime": runtime, "tasktype": "text-to-image"}
    assert received == {name: [task] if name == runtime else [] for name in RUNTIMES}


def test_a_task_for_a_model_reaches_the_runtime_with_that_model_only(trio: Site) -> None:
    trio.publish(sd_model_checkpoint="v1-5-pruned-emaonly.safetensors")

    received = {name: len(trio.receive(name)) for name in RUNTIMES}

    assert received == {"sdruntime": 1, "anymodel": 0, "comfy": 0}


def test_a_subscription_delivers_as_published_and_filters_by_attributes(trio: Site) -> None:
    sns = trio.ansible.client("sns")
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:{TRIO}-tasks"
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    policies = {}
    for each in listed:
        found = sns.get_subscription_attributes(SubscriptionArn=each["SubscriptionArn"])
        assert found["Attributes"]["RawMessageDelivery"] == "true"
        policies[each["Endpoint"].rpartition(":")[2]] = json.loads(
            found["Attributes"]["FilterPolicy"]
        )

    assert policies == {
        "trio-sdruntime": {
            "$or": [
                {"runtime": ["sdruntime"]},
                {"sd_model_checkpoint": ["v1-5-pruned-emaonly.safetensors"]},
            ]
        },
        "trio-anymodel": {"runtime": ["anymodel"]},
        "trio-comfy": {"runtime": ["comfy"]},
    }


def test_one_nat_gateway_serves_all_zones_when_asked_to(trio: Site) -> None:
    ec2 = trio.ansible.client("ec2")
    (gateway,) = ec2.describe_nat_gateways()["NatGateways"]
    ways = [
        route.get("NatGatewayId")
        for table in ec2.describe_route_tables()["RouteTables"]
        for route in table["Routes"]
        if route.get("NatGatewayId")
    ]

    assert ways == [gateway["NatGatewayId"]] * 3


def test_a_bucket_for_models_that_nobody_has_is_made(trio: Site) -> None:
    s3 = trio.ansible.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=f"{TRIO}-models")["Policy"])

    assert policy["Statement"][0]["Sid"] == "OnlyOverTls"
