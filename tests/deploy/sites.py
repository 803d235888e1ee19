"""Stacks in the emulator: made by the roles as a user runs them, and looked at from outside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_runs import Ansible, Run, account
from earlier_roles import DIGEST
from toolbox import ROOT

GOLDEN = ROOT / "tests" / "contract" / "golden" / "config.yaml"
THREE_RUNTIMES = ROOT / "tests" / "deploy" / "configs" / "three-runtimes.yaml"
TRIO = "trio"  # the stack of that file
ACCOUNT = "000000000000"
REGION = "us-east-1"
ROLES_THAT_RENDER = {"observability", "platform", "runtimes"}  # without the charts of others
LACKS = [
    "apigateway:CreateVpcLink",
    "apigateway:GetGatewayResponses",
    "apigateway:PutIntegration:responseTransferMode",
    "apigateway:GetVpcLinks",
    "ec2:DescribeInstanceTypeOfferings",
    "eks:DescribeAddonVersions",
    "servicequotas:GetServiceQuota",
    "ssm:SendCommand",
    "xray:ListResourcePolicies",
    "xray:PutResourcePolicy",
]


@dataclass(frozen=True, slots=True)
class Site:
    """One stack, with the runs that made it."""

    ansible: Ansible
    name: str
    check: Run
    first: Run
    second: Run

    def rendered(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each object that would be applied, with the file that it is in."""
        folder = self.ansible.folder / "rendered"
        for path in sorted(folder.rglob("*.yaml")):
            for item in yaml.safe_load_all(path.read_text()):
                if item:
                    yield str(path.relative_to(folder)), item

    def queue(self, runtime: str) -> str:
        """The URL of a runtime's queue."""
        sqs = self.ansible.client("sqs")
        url: str = sqs.get_queue_url(QueueName=f"{self.name}-{runtime}")["QueueUrl"]
        return url

    def publish(self, **attributes: str) -> None:
        """Publish a task with these attributes."""
        self.ansible.client("sns").publish(
            TopicArn=f"arn:aws:sns:{REGION}:{ACCOUNT}:{self.name}-tasks",
            Message=json.dumps(attributes),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )

    def receive(self, runtime: str) -> list[dict[str, str]]:
        """Take what waits in a runtime's queue."""
        sqs, url = self.ansible.client("sqs"), self.queue(runtime)
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]


def run(ansible: Ansible, *arguments: str, **variables: Any) -> Run:
    """Run the whole site but what needs a cluster that works."""
    images = {
        name: {"repository": f"registry.example/{name}", "digest": DIGEST, "tag": "1"}
        for name in ("ingest", "model-sync", "notifier", "queue-agent", "router")
    }
    given = {
        "emulator_lacks": LACKS,
        "helm_repositories_reachable": False,
        # The emulator knows no image of Bottlerocket, and its instances have one volume.
        "image_cache_ami_id": "ami-0123456789abcdef0",
        "image_cache_data_device": "/dev/xvda",
        "images": images,
        "kubernetes_apply": "false",  # a text, as `-e kubernetes_apply=false` gives it
        **variables,
    }
    return ansible.play("site.yml", "-e", json.dumps(given), *arguments)


@pytest.fixture(scope="session")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The stack of three runtimes, for all modules of a batch."""
    options = {"network_nat": "single", "identity_input_buckets": ["inputs"]}
    with account(tmp_path_factory.mktemp("trio")) as ansible:
        configure(ansible, THREE_RUNTIMES)
        yield Site(
            ansible,
            TRIO,
            check=run(ansible, "--check", **options),
            first=run(ansible, **options),
            second=run(ansible, **options),
        )


def configure(ansible: Ansible, config: Path) -> None:
    """Make a configuration the one of the working directory."""
    shutil.copy(config, ansible.folder / "config.yaml")


def tags(listed: list[dict[str, str]]) -> dict[str, str]:
    """Tags by name, whichever way the service writes them."""
    return {
        tag.get("Key", tag.get("key", "")): tag.get("Value", tag.get("value", ""))
        for tag in listed
    }
