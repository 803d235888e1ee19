"""What modules of ours say to services that the emulator lacks, as AWS documents them."""

from __future__ import annotations

from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        pytest.param("", "v2.0.0-eksbuild.1", id="the newest"),
        pytest.param("v1.x", "v1.10.0-eksbuild.10", id="the newest of a kind"),
        pytest.param("v1.9.3-eksbuild.2", "v1.9.3-eksbuild.2", id="one that is named"),
    ],
)
def test_an_add_on_has_the_newest_version_that_suits_the_cluster(
    modules: Modules, asked: str, chosen: str
) -> None:
    versions = [
        "v1.9.3-eksbuild.2",
        "v1.10.0-eksbuild.1",
        "v1.10.0-eksbuild.10",
        "v2.0.0-eksbuild.1",
    ]
    offered = [{"addonVersion": each, "compatibilities": []} for each in versions]
    call = "GET /addons/supported-versions?addonName=coredns&kubernetesVersion=1.33"
    answer = {"addons": [{"addonName": "coredns", "addonVersions": offered}]}

    with recorded({call: [(200, answer)]}) as aws:
        told = modules.at(aws.url).run(
            "eks_addon_versions_info", kubernetes_version="1.33", addons={"coredns": asked}
        )

    assert told["versions"] == {"coredns": chosen}


def test_an_add_on_without_a_version_for_the_cluster_is_told(modules: Modules) -> None:
    call = "GET /addons/supported-versions?addonName=coredns&kubernetesVersion=1.33"

    with recorded({call: [(200, {"addons": []})]}) as aws:
        told = modules.at(aws.url).run(
            "eks_addon_versions_info",
            kubernetes_version="1.33",
            addons={"coredns": "v9.x"},
            fails=True,
        )

    assert told["msg"] == "coredns has no version v9.x for Kubernetes 1.33"
