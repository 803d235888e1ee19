"""The configuration of the original solution, deployed: what is in the account afterwards."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_runs import Ansible, Run
from manifests import problems
from provisioning.emulator import CREDENTIALS
from provisioning.resources import provision
from sites import ACCOUNT, GOLDEN, REGION, ROLES_THAT_RENDER, Site, configure, run, tags

NAME = "sdoneks"
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
OUTPUT, CLAIMS = (f"{NAME}-{kind}-{ACCOUNT}-{REGION}" for kind in ("output", "claims"))


@pytest.fixture(scope="module")
def check(ansible: Ansible) -> Run:
    """A check before the first run."""
    configure(ansible, GOLDEN)
    return run(ansible, "--check")


@pytest.fixture(scope="module")
def nothing(ansible: Ansible, check: Run) -> dict[str, list[str]]:
    """What there was after the check."""
    return {
        "topics": [each["TopicArn"] for each in ansible.client("sns").list_topics()["Topics"]],
        "queues": ansible.client("sqs").list_queues().get("QueueUrls", []),
        "buckets": [each["Name"] for each in ansible.client("s3").list_buckets()["Buckets"]],
        "alarms": ansible.client("cloudwatch").describe_alarms()["MetricAlarms"],
        "tables": ansible.client("dynamodb").list_tables()["TableNames"],
        "vpcs": [
            vpc["VpcId"]
            for vpc in ansible.client("ec2").describe_vpcs()["Vpcs"]
            if not vpc["IsDefault"]
        ],
        "outputs": [str(path) for path in ansible.folder.glob("outputs.yml")],
    }


@pytest.fixture(scope="module")
def site(ansible: Ansible, check: Run, nothing: dict[str, list[str]]) -> Site:
    return Site(ansible, NAME, check, run(ansible), run(ansible))


@pytest.fixture(scope="module")
def vpc(site: Site) -> str:
    found = site.ansible.client("ec2").describe_vpcs()["Vpcs"]
    (ours,) = [each for each in found if each["CidrBlock"] == "10.0.0.0/16"]
    assert tags(ours["Tags"])["Name"] == NAME
    return str(ours["VpcId"])


def of_vpc(site: Site, vpc: str, call: str, key: str) -> Iterator[dict[str, Any]]:
    for each in getattr(site.ansible.client("ec2"), call)()[key]:
        if each["VpcId"] == vpc:
            yield each


def routes(table: dict[str, Any]) -> dict[str, str]:
    return {
        route["DestinationCidrBlock"]: route.get("NatGatewayId") or route.get("GatewayId", "")
        for route in table["Routes"]
        if "DestinationCidrBlock" in route
    }


def test_a_check_before_the_first_run_makes_nothing(
    check: Run, nothing: dict[str, list[str]]
) -> None:
    assert check.changed > 0
    assert nothing == {name: [] for name in nothing}
    assert "has no load balancer yet" in check.output


def test_the_second_run_changes_nothing(site: Site) -> None:
    assert site.first.changed > 0
    assert site.second.changed == 0, site.second.output


def test_one_role_is_run_by_its_tag(site: Site) -> None:
    assert run(site.ansible, "--tags", "registry").changed == 0


def test_a_cluster_would_take_every_object_that_is_rendered(site: Site) -> None:
    found = {f"{file}: {item['kind']}": problems(item) for file, item in site.rendered()}

    assert {file.split("/")[0] for file in found} == ROLES_THAT_RENDER
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


def test_each_zone_has_a_public_and_a_private_subnet(site: Site, vpc: str) -> None:
    subnets = list(of_vpc(site, vpc, "describe_subnets", "Subnets"))
    public = [each for each in subnets if each["MapPublicIpOnLaunch"]]
    private = [each for each in subnets if not each["MapPublicIpOnLaunch"]]

    assert sorted(each["AvailabilityZone"] for each in public) == ZONES
    assert sorted(each["AvailabilityZone"] for each in private) == ZONES
    networks = [ipaddress.IPv4Network(each["CidrBlock"]) for each in subnets]
    assert {network.prefixlen for network in networks} == {19}
    assert len(set(networks)) == 6
    assert {tags(each["Tags"])["kubernetes.io/role/elb"] for each in public} == {"1"}
    assert {tags(each["Tags"])["kubernetes.io/role/internal-elb"] for each in private} == {"1"}
    assert {tags(each["Tags"])["karpenter.sh/discovery"] for each in private} == {NAME}
    assert not any("karpenter.sh/discovery" in tags(each["Tags"]) for each in public)


def test_public_subnets_reach_the_internet_and_private_ones_their_nat_gateway(
    site: Site, vpc: str
) -> None:
    subnets = {
        each["SubnetId"]: each for each in of_vpc(site, vpc, "describe_subnets", "Subnets")
    }
    gateways = {
        each["NatGatewayId"]: each["SubnetId"]
        for each in of_vpc(site, vpc, "describe_nat_gateways", "NatGateways")
    }
    zones_of_private = []
    for table in of_vpc(site, vpc, "describe_route_tables", "RouteTables"):
        for subnet in [a["SubnetId"] for a in table["Associations"] if a.get("SubnetId")]:
            way = routes(table)["0.0.0.0/0"]
            zone = subnets[subnet]["AvailabilityZone"]
            if subnets[subnet]["MapPublicIpOnLaunch"]:
                assert way.startswith("igw-")
            else:
                assert subnets[gateways[way]]["AvailabilityZone"] == zone
                assert subnets[gateways[way]]["MapPublicIpOnLaunch"]
                zones_of_private.append(zone)

    assert sorted(zones_of_private) == ZONES


def test_s3_and_dynamodb_are_reached_without_nat(site: Site, vpc: str) -> None:
    endpoints = list(of_vpc(site, vpc, "describe_vpc_endpoints", "VpcEndpoints"))
    private = [
        table["RouteTableId"]
        for table in of_vpc(site, vpc, "describe_route_tables", "RouteTables")
        if routes(table).get("0.0.0.0/0", "").startswith("nat-")
    ]

    assert sorted(each["ServiceName"] for each in endpoints) == [
        "com.amazonaws.us-east-1.dynamodb",
        "com.amazonaws.us-east-1.s3",
    ]
    assert len(private) == 3
    assert all(sorted(each["RouteTableIds"]) == sorted(private) for each in endpoints)


def test_whatever_was_made_in_ec2_carries_the_stack(site: Site, vpc: str) -> None:
    ec2 = site.ansible.client("ec2")
    made = [
        *of_vpc(site, vpc, "describe_subnets", "Subnets"),
        *of_vpc(site, vpc, "describe_nat_gateways", "NatGateways"),
        *of_vpc(site, vpc, "describe_vpc_endpoints", "VpcEndpoints"),
        *ec2.describe_addresses()["Addresses"],
        *[
            each
            for each in ec2.describe_internet_gateways()["InternetGateways"]
            if each["Tags"]
        ],
        *[
            table
            for table in of_vpc(site, vpc, "describe_route_tables", "RouteTables")
            if not any(association.get("Main") for association in table["Associations"])
        ],
    ]

    assert len(made) == 6 + 3 + 2 + 3 + 1 + 4
    assert [each for each in made if tags(each["Tags"]).get("darkroom/stack") != NAME] == []
    assert [each for each in made if not tags(each["Tags"]).get("Name")] == []


@pytest.mark.parametrize("bucket", [OUTPUT, CLAIMS])
def test_a_bucket_is_private_encrypted_and_for_tls_only(site: Site, bucket: str) -> None:
    s3 = site.ansible.client("s3")
    access = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    ownership = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]

    assert set(access.values()) == {True}
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "AES256"
    }
    assert ownership["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


@pytest.mark.parametrize(("bucket", "days"), [(OUTPUT, None), (CLAIMS, 15)])
def test_claims_expire_and_images_do_not(site: Site, bucket: str, days: int | None) -> None:
    s3 = site.ansible.client("s3")
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]

    assert rule["Status"] == "Enabled"
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule.get("Expiration", {}).get("Days") == days


def test_the_table_is_the_one_that_the_services_are_tested_with(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": site.ansible.endpoint}.items():
        monkeypatch.setenv(name, value)
    twin = asyncio.run(provision("twin", [])).table

    assert table(site, f"{NAME}-ledger") == table(site, twin)


def table(site: Site, name: str) -> dict[str, Any]:
    dynamodb = site.ansible.client("dynamodb")
    described = dynamodb.describe_table(TableName=name)["Table"]
    indexes = {
        index["IndexName"]: (index["KeySchema"], index["Projection"])
        for index in described["GlobalSecondaryIndexes"]
    }
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    attributes = sorted(
        (each["AttributeName"], each["AttributeType"])
        for each in described["AttributeDefinitions"]
    )
    billing = described["BillingModeSummary"]["BillingMode"]
    return {
        "keys": described["KeySchema"],
        "attributes": attributes,
        "indexes": indexes,
        "expiry": (expiry["TimeToLiveStatus"], expiry["AttributeName"]),
        "billing": billing,
    }


def test_the_table_can_be_restored(site: Site) -> None:
    dynamodb = site.ansible.client("dynamodb")
    backups = dynamodb.describe_continuous_backups(TableName=f"{NAME}-ledger")
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]

    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


def test_every_service_and_chart_has_a_repository(site: Site) -> None:
    ecr = site.ansible.client("ecr")
    repositories = ecr.describe_repositories()["repositories"]
    names = ["ingest", "router", "queue-agent", "notifier", "model-sync"]
    charts = ["charts/platform", "charts/runtime"]

    assert sorted(each["repositoryName"] for each in repositories) == sorted(
        f"{NAME}/{name}" for name in names + charts
    )
    assert {each["imageTagMutability"] for each in repositories} == {"IMMUTABLE"}
    assert all(each["imageScanningConfiguration"]["scanOnPush"] for each in repositories)
    lifecycle = ecr.get_lifecycle_policy(repositoryName=f"{NAME}/ingest")
    assert len(json.loads(lifecycle["lifecyclePolicyText"])["rules"]) == 2


@pytest.mark.parametrize("topic", ["tasks", "results"])
def test_a_topic_is_encrypted_traced_and_of_this_account_only(site: Site, topic: str) -> None:
    arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAME}-{topic}"
    attributes = site.ansible.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
    allow, deny = json.loads(attributes["Policy"])["Statement"]

    assert attributes["KmsMasterKeyId"] == "alias/aws/sns"
    assert attributes["TracingConfig"] == "Active"
    assert allow["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert {allow["Resource"], deny["Resource"]} == {arn}


def attributes_of(site: Site, runtime: str) -> dict[str, Any]:
    answer = site.ansible.client("sqs").get_queue_attributes(
        QueueUrl=site.queue(runtime), AttributeNames=["All"]
    )
    attributes: dict[str, Any] = answer["Attributes"]
    return attributes


def test_a_queue_hands_on_what_ten_deliveries_did_not_settle(site: Site) -> None:
    queue, parked = attributes_of(site, "sdruntime"), attributes_of(site, "sdruntime-dlq")

    assert queue["VisibilityTimeout"] == "120"
    assert json.loads(queue["RedrivePolicy"]) == {
        "deadLetterTargetArn": parked["QueueArn"],
        "maxReceiveCount": 10,
    }
    assert json.loads(parked["RedriveAllowPolicy"]) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [queue["QueueArn"]],
    }
    assert {queue["MessageRetentionPeriod"], parked["MessageRetentionPeriod"]} == {"1209600"}
    assert {queue["SqsManagedSseEnabled"], parked["SqsManagedSseEnabled"]} == {"true"}


def test_only_the_task_topic_sends_to_a_queue_and_nobody_to_its_dead_letters(
    site: Site,
) -> None:
    queue, parked = attributes_of(site, "sdruntime"), attributes_of(site, "sdruntime-dlq")
    allow, deny = json.loads(queue["Policy"])["Statement"]
    (only,) = json.loads(parked["Policy"])["Statement"]

    assert (allow["Effect"], allow["Action"]) == ("Allow", "sqs:SendMessage")
    assert allow["Principal"] == {"Service": "sns.amazonaws.com"}
    assert allow["Condition"] == {
        "ArnEquals": {"aws:SourceArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAME}-tasks"}
    }
    assert [deny["Effect"], only["Effect"]] == ["Deny", "Deny"]


def test_the_outputs_have_the_names_of_the_original_solution(site: Site) -> None:
    outputs = yaml.safe_load((site.ansible.folder / "outputs.yml").read_text())
    topics = f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAME}"

    assert outputs["OutputS3Bucket"] == OUTPUT
    assert outputs["sdNotificationLambdaARN"] == f"{topics}-tasks"
    assert outputs["sdNotificationOutputARN"] == f"{topics}-results"
    assert outputs["sdNotificationOutputArn"] == f"{topics}-results"
    assert {"FrontApiEndpoint", "GetAPIKeyCommand", "ClusterName"} <= outputs.keys()
    assert {"ConfigCommand", "GetTokenCommand"} <= outputs.keys()
    assert "sdNotificationOutputArn" in site.first.output


def test_a_task_for_the_runtime_or_for_its_model_reaches_the_queue(site: Site) -> None:
    site.publish(runtime="sdruntime", tasktype="text-to-image")
    site.publish(sd_model_checkpoint="v1-5-pruned-emaonly.safetensors")
    site.publish(runtime="another")

    assert sorted(tuple(each) for each in site.receive("sdruntime")) == [
        ("runtime", "tasktype"),
        ("sd_model_checkpoint",),
    ]
