"""What modules of ours say to services that the emulator lacks, as AWS documents them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ansible_runs import Ansible
from servicekit.ports import HOST

EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"


@dataclass
class Recording:
    """Answers in order, each a status and a body; remembers what was asked."""

    answers: list[tuple[int, str]]
    asked: list[tuple[str, str]] = field(default_factory=list)  # call or path, body


@contextmanager
def served(recording: Recording) -> Iterator[str]:
    """Give the URL of an AWS that answers as recorded."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the base class names it
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            recording.asked.append((self.headers.get("X-Amz-Target", self.path), body))
            status, answer = recording.answers[len(recording.asked) - 1]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="recorded")
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(
    tmp_path: Path,
    recording: Recording,
    module: str,
    /,
    *,
    check: bool = False,
    **arguments: Any,
) -> dict[str, Any]:
    with served(recording) as url:
        answer = Ansible(tmp_path, url).module(module, check=check, **arguments)
    assert len(recording.asked) == len(recording.answers)
    return answer


def quota(value: float) -> tuple[int, str]:
    return 200, json.dumps({"Quota": {"Value": value}})


def test_a_quota_that_was_never_raised_has_the_default_of_aws(tmp_path: Path) -> None:
    unknown = (400, json.dumps({"__type": "NoSuchResourceException", "message": "none"}))
    recording = Recording([quota(64), unknown, quota(5)])

    told = run(
        tmp_path,
        recording,
        "service_quotas_info",
        quotas=["ec2/L-DB2E81BA", "vpc/L-F678F1CE"],
    )

    assert told["values"] == {"ec2/L-DB2E81BA": 64, "vpc/L-F678F1CE": 5}
    assert [(call.partition(".")[2], json.loads(body)) for call, body in recording.asked] == [
        ("GetServiceQuota", {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}),
        ("GetServiceQuota", {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}),
        ("GetAWSDefaultServiceQuota", {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}),
    ]


def test_instance_types_are_asked_for_by_filter_so_that_unknown_ones_are_no_error(
    tmp_path: Path,
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
    recording = Recording([(200, types), (200, offerings)])

    told = run(tmp_path, recording, "instance_types_info", names=["g5.xlarge", "g5.tiny"])

    assert told["vcpus"] == {"g5.xlarge": 4}
    assert told["zones"] == {"g5.xlarge": ["us-east-1a", "us-east-1b"]}
    asked = [parse_qs(body) for _, body in recording.asked]
    assert [each["Filter.1.Name"] for each in asked] == [["instance-type"]] * 2
    assert [each["Filter.1.Value.2"] for each in asked] == [["g5.tiny"]] * 2
    assert asked[1]["LocationType"] == ["availability-zone"]


POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}
LISTED = {"ResourcePolicies": [{"PolicyName": "ours", "PolicyDocument": json.dumps(POLICY)}]}


def test_a_missing_policy_of_xray_is_put(tmp_path: Path) -> None:
    recording = Recording([(200, "{}"), (200, "{}")])

    answer = run(tmp_path, recording, "xray_resource_policy", name="ours", policy=POLICY)

    assert answer["changed"]
    path, body = recording.asked[1]
    assert path == "/PutResourcePolicy"
    assert json.loads(body)["PolicyName"] == "ours"
    assert json.loads(json.loads(body)["PolicyDocument"]) == POLICY


def test_a_check_puts_no_policy_of_xray(tmp_path: Path) -> None:
    recording = Recording([(200, "{}")])

    answer = run(
        tmp_path, recording, "xray_resource_policy", check=True, name="ours", policy=POLICY
    )

    assert answer["changed"]
    assert [path for path, _ in recording.asked] == ["/ListResourcePolicies"]


def test_the_same_policy_of_xray_stays(tmp_path: Path) -> None:
    recording = Recording([(200, json.dumps(LISTED))])

    answer = run(tmp_path, recording, "xray_resource_policy", name="ours", policy=POLICY)

    assert not answer["changed"]


def test_a_policy_of_xray_is_taken_back(tmp_path: Path) -> None:
    recording = Recording([(200, json.dumps(LISTED)), (200, "{}")])

    answer = run(tmp_path, recording, "xray_resource_policy", name="ours", state="absent")

    assert answer["changed"]
    assert recording.asked[1][0] == "/DeleteResourcePolicy"
