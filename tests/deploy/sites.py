"""Stacks in the emulator: made by the roles as a user runs them, and looked at from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from ansible_runs import Ansible, Run
from earlier_roles import DIGEST
from toolbox import ROOT

THREE_RUNTIMES = ROOT / "tests" / "deploy" / "configs" / "three-runtimes.yaml"
TRIO = "trio"  # the stack of that file
ACCOUNT = "000000000000"
REGION = "us-east-1"
RUNTIMES = ["sdruntime", "anymodel", "comfy"]
STACKS = {
    f"{TRIO}-network",
    f"{TRIO}-cluster",
    *(f"{TRIO}-runtime-{name}" for name in RUNTIMES),
    f"{TRIO}-image-cache",
    "TrioStack",
}
OPTIONS: dict[str, Any] = {"network_nat": "single", "messaging_input_buckets": ["inputs"]}
OUTPUT, CLAIMS = (f"{TRIO}-{kind}-{ACCOUNT}-{REGION}" for kind in ("output", "claims"))
ROLES_THAT_RENDER = {"observability", "platform", "runtimes"}  # without the charts of others
LACKS = [
    "ec2:DescribeInstanceTypeOfferings",
    "eks:DescribeAddonVersions",
    "servicequotas:GetServiceQuota",
    "ssm:SendCommand",
]


@dataclass(frozen=True, slots=True)
class Site:
    """One stack in the account of an emulator."""

    ansible: Ansible
    name: str = TRIO

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

    def stacks(self) -> dict[str, dict[str, str]]:
        """The outputs of each stack of CloudFormation, by its name."""
        described = self.ansible.client("cloudformation").describe_stacks()["Stacks"]
        return {
            each["StackName"]: {
                output["OutputKey"]: output["OutputValue"] for output in each.get("Outputs", [])
            }
            for each in described
        }

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


def run(ansible: Ansible, *arguments: str, fails: bool = False, **variables: Any) -> Run:
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
    return ansible.play("site.yml", "-e", json.dumps(given), *arguments, fails=fails)


def teardown(ansible: Ansible, *arguments: str, fails: bool = False) -> Run:
    """Take the site down."""
    given = json.dumps({"emulator_lacks": LACKS, "kubernetes_apply": False})
    return ansible.play("teardown.yml", "-e", given, *arguments, fails=fails)


def configure(ansible: Ansible, *, without: str = "") -> None:
    """Make the three runtimes, or all but one, the configuration of the working directory."""
    config = yaml.safe_load(THREE_RUNTIMES.read_text())
    config["modelsRuntime"] = [
        runtime for runtime in config["modelsRuntime"] if runtime["name"] != without
    ]
    (ansible.folder / "config.yaml").write_text(yaml.safe_dump(config))


def tags(listed: list[dict[str, str]]) -> dict[str, str]:
    """Tags by name, whichever way the service writes them."""
    return {
        tag.get("Key", tag.get("key", "")): tag.get("Value", tag.get("value", ""))
        for tag in listed
    }
