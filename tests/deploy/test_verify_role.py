"""The role against the embedded stack, whose tasks and images are real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Stack, running_stack
from PIL import Image

from ansible_runs import Ansible

RUNTIMES = [
    {
        "name": "sdruntime",
        "type": "sdwebui",
        "model_filename": "v1-5-pruned-emaonly.safetensors",
    },
    {"name": "comfyruntime", "type": "comfyui", "model_filename": None},
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, "--sample-seconds", "0.1") as running:
        yield running


def variables(stack: Stack, **more: Any) -> dict[str, Any]:
    return {
        "deployment": {"stack": "embedded", "runtimes": RUNTIMES},
        "deployment_tags": {"darkroom/stack": "embedded"},
        "kubernetes_apply": True,
        "verify_endpoint": stack.info["endpoint"],
        "verify_api_key": stack.info["api_key"],
        "verify_result_topic_arn": stack.info["result_topic_arn"],
        "verify_width": 64,
        "verify_height": 64,
        "verify_steps": 4,
        "verify_wait_seconds": 90,
        **more,
    }


@pytest.fixture
def verifying(stack: Stack, tmp_path: Path) -> Ansible:
    return Ansible(tmp_path, stack.info["aws_endpoint_url"])


def objects(s3: Any, bucket: str) -> list[dict[str, Any]]:
    found = s3.list_objects_v2(Bucket=bucket, Prefix="verify/")
    return list(found.get("Contents", []))


def left_behind(ansible: Ansible, stack: Stack) -> dict[str, list[Any]]:
    """Give queues, subscriptions and images of the role that are there."""
    topic = stack.info["result_topic_arn"]
    queues = ansible.client("sqs").list_queues(QueueNamePrefix="embedded-verify")
    subscriptions = ansible.client("sns").list_subscriptions_by_topic(TopicArn=topic)
    s3 = ansible.client("s3")
    images = [
        found["Key"]
        for bucket in s3.list_buckets()["Buckets"]
        for found in s3.list_objects_v2(Bucket=bucket["Name"], Prefix="verify/").get(
            "Contents", []
        )
    ]
    return {
        "queues": queues.get("QueueUrls", []),
        "subscriptions": [
            found for found in subscriptions["Subscriptions"] if "verify" in found["Endpoint"]
        ],
        "images": images,
    }


NOTHING: dict[str, list[Any]] = {"queues": [], "subscriptions": [], "images": []}


def test_images_of_every_runtime_are_made_looked_at_and_removed(
    verifying: Ansible, stack: Stack
) -> None:
    folder = verifying.folder / "images"

    run = verifying.roles("verify", variables=variables(stack, verify_folder=str(folder)))

    assert run.changed == 0
    assert stack.info["api_key"] not in run.output
    made = {file.name.rpartition("-")[0].rpartition("-")[0]: file for file in folder.iterdir()}
    assert set(made) == {
        "verify-sdruntime-text-to-image",
        "verify-sdruntime-image-to-image",
        "verify-sdruntime-extra-single-image",
        "verify-comfyruntime-pipeline",
    }
    with Image.open(made["verify-sdruntime-text-to-image"]) as image:
        image.load()
        assert image.size == (64, 64)
    assert left_behind(verifying, stack) == NOTHING


def test_refused_request_is_told_and_nothing_is_left(verifying: Ansible, stack: Stack) -> None:
    run = fails(verifying, variables(stack, verify_api_key="not-the-key"))

    assert "verify-sdruntime-text-to-image was refused with 401" in run
    assert left_behind(verifying, stack) == NOTHING


def test_failed_task_is_told_and_nothing_is_left(verifying: Ansible, stack: Stack) -> None:
    runtimes = [
        {"name": "comfyruntime", "type": "comfyui", "model_filename": "none.safetensors"}
    ]
    deployment = {"stack": "embedded", "runtimes": runtimes}

    run = fails(verifying, variables(stack, deployment=deployment))

    assert "verify-comfyruntime-pipeline ended as failed" in run
    assert left_behind(verifying, stack) == NOTHING


def test_check_sends_nothing(verifying: Ansible, stack: Stack) -> None:
    verifying.roles("verify", variables=variables(stack), check=True)

    assert left_behind(verifying, stack) == NOTHING


def fails(ansible: Ansible, given: dict[str, Any]) -> str:
    """Run the role, which must fail, and give what it printed."""
    play = [
        {"name": "Verify", "hosts": "localhost", "gather_facts": False, "roles": ["verify"]}
    ]
    playbook = ansible.folder / "verify.yml"
    playbook.write_text(json.dumps(play))
    return ansible.play(playbook, "-e", json.dumps(given), fails=True).output
