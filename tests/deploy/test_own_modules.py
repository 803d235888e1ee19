"""Modules of ours for SNS, SQS, DynamoDB and ECR, one call each, against the emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_runs import Ansible
from modules import Modules

ARN = "arn:aws:{}:us-east-1:000000000000:{}"
TABLE: dict[str, Any] = {
    "name": "records",
    "hash_key": "uid",
    "indexes": [{"name": "by_id", "hash_key": "id", "range_key": "uid"}],
    "ttl_attribute": "expires_at",
    "tags": {"Name": "records"},
}
DUE = {"name": "due", "hash_key": "due_since", "projection": "KEYS_ONLY"}


@pytest.fixture(scope="module")
def here(ansible: Ansible, modules: Modules) -> Modules:
    return modules.at(ansible.endpoint)


@pytest.fixture(scope="module")
def topic(here: Modules) -> str:
    answer = here.run("sns_standard_topic", name="orders", kms_key="alias/aws/sns")
    return str(answer["topic_arn"])


@pytest.fixture(scope="module")
def queue(here: Modules) -> str:
    answer = here.run("sqs_standard_queue", name="kitchen")
    return str(answer["queue_arn"])


def subscription(ansible: Ansible, topic: str) -> dict[str, Any]:
    sns = ansible.client("sns")
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    answer = sns.get_subscription_attributes(SubscriptionArn=listed["SubscriptionArn"])
    attributes: dict[str, Any] = answer["Attributes"]
    return attributes


def test_a_subscription_is_checked_made_kept_changed_and_ended(
    ansible: Ansible, here: Modules, topic: str, queue: str
) -> None:
    wanted: dict[str, Any] = {
        "topic_arn": topic,
        "endpoint": queue,
        "raw_message_delivery": True,
    }
    first: dict[str, Any] = {**wanted, "filter_policy": {"course": ["soup"]}}
    second: dict[str, Any] = {**wanted, "filter_policy": {"course": ["soup", "fish"]}}
    sns = ansible.client("sns")

    assert here.run("sns_subscription", check=True, **first)["changed"]
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    made = here.run("sns_subscription", **first)
    assert made["changed"]
    assert json.loads(subscription(ansible, topic)["FilterPolicy"]) == {"course": ["soup"]}
    assert not here.run("sns_subscription", **first)["changed"]

    foreseen = here.run("sns_subscription", check=True, **second)
    assert foreseen["attributes"] == ["FilterPolicy"]
    assert json.loads(subscription(ansible, topic)["FilterPolicy"]) == {"course": ["soup"]}
    assert here.run("sns_subscription", **second)["changed"]
    assert json.loads(subscription(ansible, topic)["FilterPolicy"]) == second["filter_policy"]
    assert subscription(ansible, topic)["SubscriptionArn"] == made["subscription_arn"]

    assert here.run("sns_subscription", **wanted, state="absent")["changed"]
    assert not here.run("sns_subscription", **wanted, state="absent")["changed"]


def test_a_subscription_to_a_topic_that_a_check_has_not_made_is_a_change(
    here: Modules, queue: str
) -> None:
    foreseen = here.run(
        "sns_subscription", check=True, topic_arn=ARN.format("sns", "none"), endpoint=queue
    )

    assert foreseen["changed"]
    assert foreseen["subscription_arn"] == ""


def test_a_topic_loses_its_key_and_gains_tracing_without_being_made_anew(
    here: Modules, topic: str
) -> None:
    changed = here.run("sns_standard_topic", name="orders", active_tracing=True)

    assert changed["attributes"] == ["KmsMasterKeyId", "TracingConfig"]
    assert changed["topic_arn"] == topic
    again = here.run("sns_standard_topic", name="orders", active_tracing=True)
    assert not again["changed"]


def test_a_check_says_what_a_queue_will_be_and_makes_none(
    ansible: Ansible, here: Modules
) -> None:
    foreseen = here.run("sqs_standard_queue", name="foreseen", check=True)

    assert foreseen["changed"]
    assert foreseen["queue_arn"] == ARN.format("sqs", "foreseen")
    queues = ansible.client("sqs").list_queues(QueueNamePrefix="foreseen")
    assert queues.get("QueueUrls", []) == []


def test_only_what_differs_of_a_queue_is_set(here: Modules, queue: str) -> None:
    given: dict[str, Any] = {
        "name": "kitchen",
        "visibility_seconds": 120,
        "tags": {"floor": "1"},
    }

    assert here.run("sqs_standard_queue", **given)["attributes"] == ["VisibilityTimeout"]
    assert not here.run("sqs_standard_queue", **given)["changed"]
    parked: dict[str, Any] = {"dead_letter_queue_arn": ARN.format("sqs", "kitchen-dlq")}
    here.run("sqs_standard_queue", name="kitchen-dlq", redrive_source_arns=[queue])
    assert here.run("sqs_standard_queue", **given, **parked)["attributes"] == ["RedrivePolicy"]
    assert not here.run("sqs_standard_queue", **given, **parked)["changed"]


def test_a_table_gains_an_index_that_a_release_adds_and_keeps_its_items(
    ansible: Ansible,
    here: Modules,
) -> None:
    dynamodb = ansible.client("dynamodb")
    made = here.run("dynamodb_on_demand_table", **TABLE)
    dynamodb.put_item(TableName="records", Item={"uid": {"S": "1"}})
    more = {**TABLE, "indexes": [*TABLE["indexes"], DUE]}

    assert made["changes"] == ["table", "expiry", "point-in-time recovery"]
    assert not here.run("dynamodb_on_demand_table", **TABLE)["changed"]
    foreseen = here.run("dynamodb_on_demand_table", check=True, **more)
    assert foreseen["changes"] == ["index due"]
    assert here.run("dynamodb_on_demand_table", **more)["changes"] == ["index due"]
    assert not here.run("dynamodb_on_demand_table", **more)["changed"]
    assert dynamodb.scan(TableName="records")["Count"] == 1


def test_repositories_are_brought_back_to_what_is_wanted(
    ansible: Ansible, here: Modules
) -> None:
    ecr = ansible.client("ecr")
    here.run("ecr_repositories", names=["a/one", "a/two"])
    ecr.put_image_tag_mutability(repositoryName="a/two", imageTagMutability="MUTABLE")

    changed = here.run("ecr_repositories", names=["a/one", "a/two"])

    assert changed["changes"] == {"a/two": ["tag mutability"]}
    assert not here.run("ecr_repositories", names=["a/one", "a/two"])["changed"]


def test_the_role_of_a_service_is_made_once(here: Modules) -> None:
    service = "spot.amazonaws.com"

    assert here.run("iam_service_linked_role", check=True, service=service)["changed"]
    assert here.run("iam_service_linked_role", service=service)["changed"]
    assert not here.run("iam_service_linked_role", service=service)["changed"]


def test_a_bucket_is_found_or_missing(ansible: Ansible, here: Modules) -> None:
    ansible.client("s3").create_bucket(Bucket="somebodys")

    assert here.run("s3_bucket_head_info", name="somebodys")["state"] == "readable"
    assert here.run("s3_bucket_head_info", name="nobodys")["state"] == "missing"


def test_keys_that_a_bucket_lacks_are_told(ansible: Ansible, here: Modules) -> None:
    s3 = ansible.client("s3")
    s3.create_bucket(Bucket="larder")
    for key in ("jam", "jam/2", "honey-2"):
        s3.put_object(Bucket="larder", Key=key, Body=b"")

    keys = ["jam", "honey", "bread"]
    found = here.run("s3_bucket_head_info", name="larder", keys=keys)
    nothing = here.run("s3_bucket_head_info", name="nobodys-larder", keys=keys)

    assert found["missing_keys"] == ["honey", "bread"]
    assert nothing["missing_keys"] == []


def test_a_region_of_china_has_its_own_partition_and_hosts(here: Modules) -> None:
    home = here.run("aws_target_info")
    china = here.run("aws_target_info", region="cn-northwest-1")

    assert (home["partition"], home["dns_suffix"]) == ("aws", "amazonaws.com")
    assert (china["partition"], china["dns_suffix"]) == ("aws-cn", "amazonaws.com.cn")


def test_alarms_of_a_stack_are_found_and_removed(here: Modules) -> None:
    alarm = {
        "name": "sdruntime-dlq",
        "description": "Tasks were given up.",
        "threshold": 0,
        "metrics": [
            {
                "Id": "parked",
                "ReturnData": True,
                "MetricStat": {
                    "Stat": "Maximum",
                    "Period": 60,
                    "Metric": {"Namespace": "AWS/SQS", "MetricName": "Visible"},
                },
            }
        ],
    }
    for stack in ("pantry", "pantry-2"):
        tags = {"darkroom/stack": stack}
        here.run("cloudwatch_alarms", prefix=f"{stack}/", alarms=[alarm], tags=tags)
    lacks = ["apigateway:GetVpcLinks", "xray:ListResourcePolicies"]

    others = here.run(
        "stack_resources", stack="pantry", state="absent", kinds=["queue"], lacks=lacks
    )
    gone = here.run("stack_resources", stack="pantry", state="absent", lacks=lacks)
    left = here.run("stack_resources", stack="pantry-2", lacks=lacks)

    assert others["resources"] == []
    assert gone["resources"] == ["alarm pantry/sdruntime-dlq"]
    assert left["resources"] == ["alarm pantry-2/sdruntime-dlq"]


def test_a_runtime_that_is_gone_is_told_with_what_removes_it(
    ansible: Ansible, here: Modules
) -> None:
    sns, eks = ansible.client("sns"), ansible.client("eks")
    topic = here.run("sns_standard_topic", name="diner-tasks")["topic_arn"]
    eks.create_cluster(
        name="diner",
        roleArn=ARN.format("iam", "role/diner"),
        resourcesVpcConfig={"subnetIds": ["subnet-1"]},
    )
    eks.create_pod_identity_association(
        clusterName="diner",
        namespace="art",
        serviceAccount="queue-agent-old",
        roleArn=ARN.format("iam", "role/diner"),
    )
    for name in ("diner-old", "diner-old-dlq", "diner-new", "diner-new-dlq"):
        made = here.run("sqs_standard_queue", name=name, tags={"darkroom/stack": "diner"})
        if not name.endswith("-dlq"):
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=made["queue_arn"])

    told = here.run("former_runtimes_info", stack="diner", runtimes=["new"], topic_arn=topic)

    (old,) = told["runtimes"]
    assert old["name"] == "old"
    assert [line.split(" --")[0] for line in old["commands"]] == [
        "helm uninstall old",
        "aws eks delete-pod-identity-association",
        "aws sns unsubscribe",
        "aws sqs delete-queue",
        "aws sqs delete-queue",
    ]
    assert old["commands"][0].endswith("--namespace art")
    assert "diner-old-dlq" in old["commands"][-1]
    assert "diner-new" not in str(told["runtimes"])
