"""Modules of ours, one call each, against the emulator."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ansible_runs import Ansible
from modules import Modules

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


def test_the_hash_of_an_api_key_is_read_and_not_its_value(
    ansible: Ansible, here: Modules
) -> None:
    made = ansible.client("apigateway").create_api_key(name="pantry", enabled=True)

    told = here.run("apigateway_key", id=made["id"])

    assert told["sha256"] == hashlib.sha256(made["value"].encode()).hexdigest()
    assert made["value"] not in str(told)


def test_messages_of_queues_are_counted_and_queues_that_are_gone_have_none(
    ansible: Ansible, here: Modules
) -> None:
    sqs = ansible.client("sqs")
    urls = [
        sqs.create_queue(QueueName=f"counted-{name}")["QueueUrl"] for name in ("a", "b", "gone")
    ]
    sqs.send_message(QueueUrl=urls[0], MessageBody="1")
    sqs.delete_queue(QueueUrl=urls[2])

    told = here.run("queue_messages_info", urls=urls)

    assert told["messages"] == {"counted-a": 1}


def test_the_deployer_is_let_in_once(ansible: Ansible, here: Modules) -> None:
    role = "arn:aws:iam::000000000000:role/deployer"
    ansible.client("eks").create_cluster(
        name="larder", roleArn=role, resourcesVpcConfig={"subnetIds": ["subnet-1"]}
    )
    asked: dict[str, Any] = {"cluster_name": "larder", "principal_arn": role, "policy": "Admin"}

    changes = [
        here.run("eks_access_entry", check=check, **asked)["changed"]
        for check in (True, False, False)
    ]

    assert changes == [True, True, False]
    found = ansible.client("eks").list_associated_access_policies(
        clusterName="larder", principalArn=role
    )["associatedAccessPolicies"]
    assert [each["policyArn"] for each in found] == ["Admin"]


def test_what_karpenter_and_kubernetes_left_is_found_by_its_tags_and_removed(
    ansible: Ansible, here: Modules
) -> None:
    ec2, iam = ansible.client("ec2"), ansible.client("iam")
    role = "pantry-us-east-1-karpenter-node"
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="pantry_1")
    iam.add_role_to_instance_profile(InstanceProfileName="pantry_1", RoleName=role)
    for stack in ("pantry", "pantry-2"):
        tags = [{"Key": f"kubernetes.io/cluster/{stack}", "Value": "owned"}]
        specification = [{"ResourceType": "launch-template", "Tags": tags}]
        ec2.create_launch_template(
            LaunchTemplateName=f"karpenter-of-{stack}",
            LaunchTemplateData={"InstanceType": "g5.xlarge"},
            TagSpecifications=specification,
        )

    asked: dict[str, Any] = {"stack": "pantry", "of": ["nodes"]}
    foreseen = here.run("stack_leftovers", check=True, state="absent", **asked)
    gone = here.run("stack_leftovers", state="absent", **asked)

    assert gone["resources"] == foreseen["resources"]
    assert gone["resources"] == [
        "launch template karpenter-of-pantry",
        "instance profile pantry_1",
    ]
    assert here.run("stack_leftovers", **asked)["resources"] == []
    left = here.run("stack_leftovers", stack="pantry-2", of=["nodes"])["resources"]
    assert left == ["launch template karpenter-of-pantry-2"]
