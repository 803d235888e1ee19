"""Three runtimes, taken down: nothing is forgotten, and no task or image with it."""

from __future__ import annotations

import json

import pytest

from ansible_runs import Run
from modules import Modules
from sites import ACCOUNT, LACKS, REGION, TRIO, Site

DATA = [
    f"table {TRIO}-ledger",
    f"bucket {TRIO}-claims-{ACCOUNT}-{REGION}",
    f"bucket {TRIO}-models",
    f"bucket {TRIO}-output-{ACCOUNT}-{REGION}",
]


@pytest.fixture(scope="module")
def refused(trio: Site) -> Run:
    """A teardown while a task waits."""
    trio.publish(runtime="comfy")
    return teardown(trio, fails=True)


@pytest.fixture(scope="module")
def torn_down(trio: Site, refused: Run) -> Run:
    return teardown(trio, "-e", "force=true")


@pytest.fixture(scope="module")
def emptied(trio: Site, torn_down: Run) -> Run:
    output = f"{TRIO}-output-{ACCOUNT}-{REGION}"
    trio.ansible.client("s3").put_object(Bucket=output, Key="output/a/a-0.png", Body=b"a")
    return teardown(trio, "-e", "delete_data=true")


def teardown(trio: Site, *arguments: str, fails: bool = False) -> Run:
    given = json.dumps({"emulator_lacks": LACKS, "kubernetes_apply": False})
    return trio.ansible.play("teardown.yml", "-e", given, *arguments, fails=fails)


def left(trio: Site, modules: Modules) -> list[str]:
    here = modules.at(trio.ansible.endpoint)
    answer = here.run("stack_resources", stack=TRIO, lacks=LACKS)
    resources: list[str] = answer["resources"]
    return resources


def test_teardown_refuses_while_a_task_waits(trio: Site, refused: Run) -> None:
    assert "queues hold tasks, which would be lost: {'trio-comfy': 1}" in refused.output
    assert "-e force=true" in refused.output
    assert refused.changed == 0


def test_teardown_leaves_data_only_and_says_so(
    trio: Site, torn_down: Run, modules: Modules
) -> None:
    assert left(trio, modules) == DATA
    assert [line for line in DATA if line not in torn_down.output] == []


def test_teardown_takes_the_whole_network_with_it(trio: Site, torn_down: Run) -> None:
    ec2 = trio.ansible.client("ec2")

    assert [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    assert ec2.describe_addresses()["Addresses"] == []
    states = {each["State"] for each in ec2.describe_nat_gateways()["NatGateways"]}
    assert states <= {"deleted"}
    gateways = ec2.describe_internet_gateways()["InternetGateways"]
    assert [each for each in gateways if each.get("Tags")] == []
    assert trio.ansible.client("sqs").list_queues().get("QueueUrls", []) == []
    assert trio.ansible.client("sns").list_topics()["Topics"] == []
    assert trio.ansible.client("ecr").describe_repositories()["repositories"] == []


def test_teardown_removes_data_when_asked_to(
    trio: Site, emptied: Run, modules: Modules
) -> None:
    assert left(trio, modules) == []
    assert "nothing is left" in emptied.output
    assert trio.ansible.client("s3").list_buckets()["Buckets"] == []
