"""Stacks in the emulator: made by the roles as a user runs them, and looked at from outside."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_runs import Ansible, Run
from toolbox import ROOT

GOLDEN = ROOT / "tests" / "contract" / "golden" / "config.yaml"
THREE_RUNTIMES = ROOT / "tests" / "deploy" / "configs" / "three-runtimes.yaml"
ACCOUNT = "000000000000"
REGION = "us-east-1"
FOUNDATION = (
    "validate_inputs",
    "preflight",
    "network",
    "storage",
    "registry",
    "messaging",
    "outputs",
)
LACKS = [
    "apigateway:GetVpcLinks",
    "ec2:DescribeInstanceTypeOfferings",
    "servicequotas:GetServiceQuota",
    "xray:ListResourcePolicies",
    "xray:PutResourcePolicy",
]


@dataclass(frozen=True, slots=True)
class Site:
    """One stack, with the runs that made it."""

    ansible: Ansible
    name: str
    first: Run
    second: Run

    def queue(self, runtime: str) -> str:
        """Give the URL of a runtime's queue."""
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


def run(ansible: Ansible, *, check: bool = False, **variables: Any) -> Run:
    """Run the roles that need no cluster, with `config.yaml` of the working directory."""
    given = {"emulator_lacks": LACKS, **variables}
    return ansible.roles(*FOUNDATION, variables=given, check=check)


def configure(ansible: Ansible, config: Path) -> None:
    """Make a configuration the one of the working directory."""
    shutil.copy(config, ansible.folder / "config.yaml")


def tags(listed: list[dict[str, str]]) -> dict[str, str]:
    """Give tags by name, whichever way the service writes them."""
    return {
        tag.get("Key", tag.get("key", "")): tag.get("Value", tag.get("value", ""))
        for tag in listed
    }
