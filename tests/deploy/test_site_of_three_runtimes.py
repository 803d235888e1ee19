"""Three runtimes, deployed and taken down: no task goes astray and nothing is forgotten."""

from __future__ import annotations

import json

import pytest

from ansible_runs import Ansible, Run
from manifests import problems
from sites import (
    ACCOUNT,
    LACKS,
    REGION,
    ROLES_THAT_RENDER,
    THREE_RUNTIMES,
    Site,
    configure,
    run,
)

NAME = "trio"
RUNTIMES = ["sdruntime", "anymodel", "comfy"]
DATA = [
    f"table {NAME}-ledger",
    f"bucket {NAME}-claims-{ACCOUNT}-{REGION}",
    f"bucket {NAME}-models",
    f"bucket {NAME}-output-{ACCOUNT}-{REGION}",
]


@pytest.fixture(scope="module")
def site(ansible: Ansible) -> Site:
    configure(ansible, THREE_RUNTIMES)
    return Site(
        ansible,
        NAME,
        run(ansible, network_nat="single"),
        run(ansible, network_nat="single"),
    )


@pytest.fixture(scope="module")
def refused(site: Site) -> Run:
    """Give a teardown while a task waits."""
    site.publish(runtime="comfy")
    return teardown(site, fails=True)


@pytest.fixture(scope="module")
def torn_down(site: Site, refused: Run) -> Run:
    return teardown(site, "-e", "force=true")


@pytest.fixture(scope="module")
def emptied(site: Site, torn_down: Run) -> Run:
    output = f"{NAME}-output-{ACCOUNT}-{REGION}"
    site.ansible.client("s3").put_object(Bucket=output, Key="output/a/a-0.png", Body=b"a")
    return teardown(site, "-e", "delete_data=true")


def teardown(site: Site, *arguments: str, fails: bool = False) -> Run:
    given = json.dumps({"emulator_lacks": LACKS, "kubernetes_apply": False})
    return site.ansible.play("teardown.yml", "-e", given, *arguments, fails=fails)


def left(site: Site) -> list[str]:
    answer = site.ansible.module("stack_resources", stack=NAME, lacks=LACKS)
    resources: list[str] = answer["resources"]
    return resources


def test_the_second_run_changes_nothing(site: Site) -> None:
    assert site.first.changed > 0
    assert site.second.changed == 0, site.second.output


def test_a_cluster_would_take_every_object_that_is_rendered(site: Site) -> None:
    found = {f"{file}: {item['kind']}": problems(item) for file, item in site.rendered()}

    assert {file.split("/")[0] for file in found} == ROLES_THAT_RENDER
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_task_reaches_the_queue_of_its_runtime_and_no_other(site: Site, runtime: str) -> None:
    site.publish(runtime=runtime, tasktype="text-to-image")

    received = {name: site.receive(name) for name in RUNTIMES}

    task = {"runtime": runtime, "tasktype": "text-to-image"}
    assert received == {name: [task] if name == runtime else [] for name in RUNTIMES}


def test_a_task_for_a_model_reaches_the_runtime_with_that_model_only(site: Site) -> None:
    site.publish(sd_model_checkpoint="v1-5-pruned-emaonly.safetensors")

    received = {name: len(site.receive(name)) for name in RUNTIMES}

    assert received == {"sdruntime": 1, "anymodel": 0, "comfy": 0}


def test_a_subscription_delivers_as_published_and_filters_by_attributes(site: Site) -> None:
    sns = site.ansible.client("sns")
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAME}-tasks"
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


def test_one_nat_gateway_serves_all_zones_when_asked_to(site: Site) -> None:
    ec2 = site.ansible.client("ec2")
    (gateway,) = ec2.describe_nat_gateways()["NatGateways"]
    ways = [
        route.get("NatGatewayId")
        for table in ec2.describe_route_tables()["RouteTables"]
        for route in table["Routes"]
        if route.get("NatGatewayId")
    ]

    assert ways == [gateway["NatGatewayId"]] * 3


def test_a_bucket_for_models_that_nobody_has_is_made(site: Site) -> None:
    s3 = site.ansible.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=f"{NAME}-models")["Policy"])

    assert policy["Statement"][0]["Sid"] == "OnlyOverTls"


def test_teardown_refuses_while_a_task_waits(site: Site, refused: Run) -> None:
    assert "queues hold tasks, which would be lost: {'trio-comfy': 1}" in refused.output
    assert "-e force=true" in refused.output
    assert refused.changed == 0


def test_teardown_leaves_data_only_and_says_so(site: Site, torn_down: Run) -> None:
    assert left(site) == DATA
    assert [line for line in DATA if line not in torn_down.output] == []


def test_teardown_takes_the_whole_network_with_it(site: Site, torn_down: Run) -> None:
    ec2 = site.ansible.client("ec2")

    assert [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    assert ec2.describe_addresses()["Addresses"] == []
    states = {each["State"] for each in ec2.describe_nat_gateways()["NatGateways"]}
    assert states <= {"deleted"}
    gateways = ec2.describe_internet_gateways()["InternetGateways"]
    assert [each for each in gateways if each.get("Tags")] == []
    assert site.ansible.client("sqs").list_queues().get("QueueUrls", []) == []
    assert site.ansible.client("sns").list_topics()["Topics"] == []
    assert site.ansible.client("ecr").describe_repositories()["repositories"] == []


def test_teardown_removes_data_when_asked_to(site: Site, emptied: Run) -> None:
    assert left(site) == []
    assert "nothing is left" in emptied.output
    assert site.ansible.client("s3").list_buckets()["Buckets"] == []
