"""What modules of ours say to services that the emulator lacks, as AWS documents them."""

from __future__ import annotations

import json
from typing import Any

from modules import Modules
from recorded import Answers, recorded

EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"


def quota(value: float) -> tuple[int, Any]:
    return 200, {"Quota": {"Value": value}}


def test_a_quota_that_was_never_raised_has_the_default_of_aws(modules: Modules) -> None:
    unknown = (400, {"__type": "NoSuchResourceException", "message": "none"})
    answers: Answers = {
        "GetServiceQuota": [quota(64), unknown],
        "GetAWSDefaultServiceQuota": [quota(5)],
    }
    quotas = ["ec2/L-DB2E81BA", "vpc/L-F678F1CE"]

    with recorded(answers) as aws:
        told = modules.at(aws.url).run("service_quotas_info", quotas=quotas)

    assert told["values"] == {"ec2/L-DB2E81BA": 64, "vpc/L-F678F1CE": 5}
    assert aws.asked == [
        ("GetServiceQuota", {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}),
        ("GetServiceQuota", {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}),
        ("GetAWSDefaultServiceQuota", {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}),
    ]


def test_instance_types_are_asked_for_by_filter_so_that_unknown_ones_are_no_error(
    modules: Modules,
) -> None:
    types = (
        f'<DescribeInstanceTypesResponse xmlns="{EC2}"><instanceTypeSet><item>'
        "<instanceType>g5.xlarge</instanceType>"
        "<vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo>"
        "</item></instanceTypeSet></DescribeInstanceTypesResponse>"
    )
    offered = "".join(
        f"<item><instanceType>g5.xlarge</instanceType><location>{zone}</location></item>"
        for zone in ("us-east-1b", "us-east-1a")
    )
    offerings = (
        f'<DescribeInstanceTypeOfferingsResponse xmlns="{EC2}"><instanceTypeOfferingSet>'
        f"{offered}</instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>"
    )
    answers: Answers = {
        "DescribeInstanceTypes": [(200, types)],
        "DescribeInstanceTypeOfferings": [(200, offerings)],
    }

    with recorded(answers) as aws:
        names = ["g5.xlarge", "g5.tiny"]
        told = modules.at(aws.url).run("instance_types_info", names=names)

    assert told["vcpus"] == {"g5.xlarge": 4}
    assert told["zones"] == {"g5.xlarge": ["us-east-1a", "us-east-1b"]}
    asked = [body for _, body in aws.asked]
    assert [each["Filter.1.Name"] for each in asked] == [["instance-type"]] * 2
    assert [each["Filter.1.Value.2"] for each in asked] == [["g5.tiny"]] * 2
    assert asked[1]["LocationType"] == ["availability-zone"]


POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}
LISTED = {"ResourcePolicies": [{"PolicyName": "ours", "PolicyDocument": json.dumps(POLICY)}]}
LIST, PUT, DELETE = (
    f"POST /{call}"
    for call in ("ListResourcePolicies", "PutResourcePolicy", "DeleteResourcePolicy")
)


def test_a_missing_policy_of_xray_is_put(modules: Modules) -> None:
    with recorded({LIST: [(200, {})], PUT: [(200, {})]}) as aws:
        answer = modules.at(aws.url).run("xray_resource_policy", name="ours", policy=POLICY)

    assert answer["changed"]
    (put,) = aws.calls(PUT)
    assert put["PolicyName"] == "ours"
    assert json.loads(put["PolicyDocument"]) == POLICY


def test_a_check_puts_no_policy_of_xray(modules: Modules) -> None:
    with recorded({LIST: [(200, {})]}) as aws:
        answer = modules.at(aws.url).run(
            "xray_resource_policy", check=True, name="ours", policy=POLICY
        )

    assert answer["changed"]
    assert [call for call, _ in aws.asked] == [LIST]


def test_the_same_policy_of_xray_stays(modules: Modules) -> None:
    with recorded({LIST: [(200, LISTED)]}) as aws:
        answer = modules.at(aws.url).run("xray_resource_policy", name="ours", policy=POLICY)

    assert not answer["changed"]
    assert [call for call, _ in aws.asked] == [LIST]


def test_a_policy_of_xray_is_taken_back(modules: Modules) -> None:
    with recorded({LIST: [(200, LISTED)], DELETE: [(200, {})]}) as aws:
        answer = modules.at(aws.url).run("xray_resource_policy", name="ours", state="absent")

    assert answer["changed"]
    assert [call for call, _ in aws.asked] == [LIST, DELETE]
