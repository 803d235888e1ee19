"""Three runtimes, deployed to an emulator.

What the emulator drops or refuses is looked at in the templates.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from ansible_runs import Ansible, Run
from manifests import problems
from provisioning.emulator import CREDENTIALS
from provisioning.resources import provision
from sites import (
    ACCOUNT,
    CLAIMS,
    OPTIONS,
    OUTPUT,
    REGION,
    ROLES_THAT_RENDER,
    RUNTIMES,
    STACKS,
    TRIO,
    Site,
    configure,
    run,
    tags,
)


@dataclass(frozen=True)
class Runs:
    """How the site came to be."""

    before: Run
    nothing: dict[str, list[str]]
    first: Run
    second: Run
    after: Run


@pytest.fixture(scope="module")
def runs(ansible: Ansible) -> Runs:
    """A check, a run as a user does it, a second one and another check."""
    configure(ansible)
    return Runs(
        before=run(ansible, "--check", **OPTIONS),
        nothing=made(ansible),
        first=run(ansible.as_users_run_it(), **OPTIONS),
        second=run(ansible, **OPTIONS),
        after=run(ansible, "--check", **OPTIONS),
    )


@pytest.fixture(scope="module")
def site(ansible: Ansible, runs: Runs) -> Site:
    return Site(ansible)


def made(ansible: Ansible) -> dict[str, list[str]]:
    """What there is in the account, and the file of outputs."""
    vpcs = ansible.client("ec2").describe_vpcs()["Vpcs"]
    return {
        "stacks": list(Site(ansible).stacks()),
        "buckets": [each["Name"] for each in ansible.client("s3").list_buckets()["Buckets"]],
        "tables": ansible.client("dynamodb").list_tables()["TableNames"],
        "vpcs": [vpc["VpcId"] for vpc in vpcs if not vpc["IsDefault"]],
        "outputs": [str(path) for path in ansible.folder.glob("outputs.yml")],
    }


def test_a_check_before_the_first_run_makes_nothing(runs: Runs) -> None:
    assert 0 < runs.before.changed <= runs.first.changed
    assert runs.nothing == {name: [] for name in runs.nothing}
    assert "has no load balancer yet" in runs.before.output


def test_the_second_run_and_a_check_change_nothing(runs: Runs) -> None:
    assert runs.first.changed > 0
    assert runs.second.changed == 0, runs.second.output
    assert runs.after.changed == 0, runs.after.output


def test_each_part_is_a_stack_that_nobody_removes_by_accident(site: Site) -> None:
    described = site.ansible.client("cloudformation").describe_stacks()["Stacks"]

    assert {each["StackName"] for each in described} == STACKS
    assert {each["StackStatus"] for each in described} <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    assert all(each["EnableTerminationProtection"] for each in described)
    assert all(tags(each["Tags"]) == {"darkroom/stack": TRIO} for each in described)


def test_no_update_replaces_what_holds_nodes_or_tasks(site: Site) -> None:
    cloudformation = site.ansible.client("cloudformation")
    for name in STACKS:
        body = cloudformation.get_stack_policy(StackName=name)["StackPolicyBody"]
        _, deny = json.loads(body)["Statement"]
        assert deny["Action"] == ["Update:Replace", "Update:Delete"]
        assert "AWS::EKS::Cluster" in deny["Condition"]["StringEquals"]["ResourceType"]


def test_a_stack_of_somebody_else_is_left_alone(site: Site) -> None:
    cloudformation = site.ansible.client("cloudformation")
    bucket = {"Resources": {"Theirs": {"Type": "AWS::S3::Bucket"}}}
    name = f"{TRIO}-runtime-theirs"
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(bucket))
    config = yaml.safe_load((site.ansible.folder / "config.yaml").read_text())
    config["modelsRuntime"] = [config["modelsRuntime"][1] | {"name": "theirs"}]

    refused = run(site.ansible, "--tags", "network", fails=True, **config)

    assert f"a CloudFormation stack {name} that Darkroom did not make" in refused.output
    cloudformation.delete_stack(StackName=name)


def test_a_cluster_would_take_every_object_that_is_rendered(site: Site) -> None:
    found = {f"{file}: {item['kind']}": problems(item) for file, item in site.rendered()}

    assert {file.split("/")[0] for file in found} == ROLES_THAT_RENDER
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


def test_what_is_not_rendered_is_said(runs: Runs) -> None:
    for chart in ("karpenter-crd", "karpenter", "keda"):
        assert f"{chart} is not rendered" in runs.first.output


def test_each_zone_has_a_public_and_a_private_subnet(site: Site) -> None:
    zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
    ec2 = site.ansible.client("ec2")
    (vpc,) = [each for each in ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"]]
    subnets = [
        each for each in ec2.describe_subnets()["Subnets"] if each["VpcId"] == vpc["VpcId"]
    ]
    public = [each for each in subnets if each["MapPublicIpOnLaunch"]]
    private = [each for each in subnets if not each["MapPublicIpOnLaunch"]]

    assert vpc["CidrBlock"] == "10.0.0.0/16"
    assert sorted(each["AvailabilityZone"] for each in public) == zones
    assert sorted(each["AvailabilityZone"] for each in private) == zones
    networks = [ipaddress.IPv4Network(each["CidrBlock"]) for each in subnets]
    assert {network.prefixlen for network in networks} == {19}
    assert len(set(networks)) == 6
    assert {tags(each["Tags"])["kubernetes.io/role/elb"] for each in public} == {"1"}
    assert {tags(each["Tags"])["karpenter.sh/discovery"] for each in private} == {TRIO}


def test_the_cluster_lets_only_access_entries_in(site: Site) -> None:
    eks = site.ansible.client("eks")
    group = eks.describe_nodegroup(clusterName=TRIO, nodegroupName="services")["nodegroup"]

    assert eks.describe_cluster(name=TRIO)["cluster"]["accessConfig"]["authenticationMode"] == (
        "API"
    )
    assert group["scalingConfig"]["desiredSize"] == 2
    # The deployer; the emulator's CloudFormation makes none.
    entries = eks.list_access_entries(clusterName=TRIO)["accessEntries"]
    assert entries == [f"arn:aws:iam::{ACCOUNT}:root"]


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


def test_a_bucket_for_models_that_nobody_has_is_made(site: Site) -> None:
    s3 = site.ansible.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=f"{TRIO}-models")["Policy"])

    assert policy["Statement"][0]["Sid"] == "OnlyOverTls"


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

    assert table(site, f"{TRIO}-ledger") == table(site, twin)


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
    backups = dynamodb.describe_continuous_backups(TableName=f"{TRIO}-ledger")
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]

    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


def test_every_service_and_chart_has_a_repository(site: Site) -> None:
    ecr = site.ansible.client("ecr")
    repositories = ecr.describe_repositories()["repositories"]
    names = ["ingest", "router", "queue-agent", "notifier", "model-sync"]
    charts = ["charts/platform", "charts/runtime"]

    assert sorted(each["repositoryName"] for each in repositories) == sorted(
        f"{TRIO}/{name}" for name in names + charts
    )
    assert {each["imageTagMutability"] for each in repositories} == {"IMMUTABLE"}
    assert all(each["imageScanningConfiguration"]["scanOnPush"] for each in repositories)
    lifecycle = ecr.get_lifecycle_policy(repositoryName=f"{TRIO}/ingest")
    assert len(json.loads(lifecycle["lifecyclePolicyText"])["rules"]) == 2


def test_the_outputs_have_the_names_of_the_original_solution(site: Site, runs: Runs) -> None:
    outputs = site.stacks()["TrioStack"]
    topics = f"arn:aws:sns:{REGION}:{ACCOUNT}:{TRIO}"

    assert outputs["OutputS3Bucket"] == OUTPUT
    assert outputs["sdNotificationLambdaARN"] == f"{topics}-tasks"
    assert outputs["sdNotificationOutputARN"] == f"{topics}-results"
    assert outputs["sdNotificationOutputArn"] == f"{topics}-results"
    assert outputs["ClusterName"] == TRIO
    assert {"GetAPIKeyCommand", "ConfigCommand", "GetTokenCommand"} <= outputs.keys()
    key = outputs["GetAPIKeyCommand"].split()[4]
    assert site.ansible.client("apigateway").get_api_key(apiKey=key)["name"] == TRIO
    written = yaml.safe_load((site.ansible.folder / "outputs.yml").read_text())
    assert outputs.items() <= written.items()
    assert set(written["Queues"]) == set(RUNTIMES)
    assert "sdNotificationOutputArn" in runs.first.output


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
