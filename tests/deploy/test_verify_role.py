"""The playbook against the embedded stack, whose tasks and images are real."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import Stack, running_stack
from PIL import Image

from ansible_runs import Ansible, Run
from own_command import provide_command

SDWEBUI = {
    "name": "sdruntime",
    "namespace": "default",
    "type": "sdwebui",
    "modelFilename": "v1-5-pruned-emaonly.safetensors",
}
COMFYUI = {"name": "comfyruntime", "namespace": "default", "type": "comfyui"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, "--sample-seconds", "0.1") as running:
        told = Ansible(folder, running.info["aws_endpoint_url"]).client("cloudformation")
        told.create_stack(StackName="embeddedStack", TemplateBody=json.dumps(outputs(running)))
        yield running


def outputs(stack: Stack) -> dict[str, Any]:
    """A template with the outputs of a deployment that the playbook reads."""
    values = {
        "FrontApiEndpoint": stack.info["endpoint"] + "/",
        "sdNotificationOutputArn": stack.info["result_topic_arn"],
    }
    return {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in values.items()},
    }


def verify(
    ansible: Ansible,
    stack: Stack,
    *arguments: str,
    runtimes: Sequence[dict[str, Any]] = (SDWEBUI, COMFYUI),
    fails: bool = False,
    models: str = "models",
    **more: Any,
) -> Run:
    """Run the playbook where the configuration of a deployment is."""
    config = {"stackName": "embedded", "modelBucketArn": f"arn:aws:s3:::{models}"}
    (ansible.folder / "config.yaml").write_text(
        json.dumps({**config, "modelsRuntime": list(runtimes)})
    )
    given = {
        "verify_api_key": stack.info["api_key"],
        "verify_size": 64,
        "verify_wait_seconds": 90,
        **more,
    }
    return ansible.play("verify.yml", "-e", json.dumps(given), *arguments, fails=fails)


@pytest.fixture
def verifying(stack: Stack, tmp_path: Path) -> Ansible:
    provide_command(tmp_path)
    return Ansible(tmp_path, stack.info["aws_endpoint_url"])


def left_behind(ansible: Ansible, stack: Stack) -> dict[str, list[Any]]:
    """Queues, subscriptions and images of the role that are there."""
    topic = stack.info["result_topic_arn"]
    queues = ansible.client("sqs").list_queues(QueueNamePrefix="darkroom-verify")
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

    run = verify(verifying, stack, models=stack.info["model_bucket"], verify_folder=str(folder))

    assert run.changed == 0
    assert "verify-comfyruntime-pipeline: completed after" in run.output
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


def test_nothing_is_asked_for_while_a_model_is_not_in_its_bucket(
    verifying: Ansible, stack: Stack
) -> None:
    run = verify(verifying, stack, models=stack.info["claim_bucket"], fails=True)

    assert "sdruntime: no Stable-diffusion/v1-5-pruned-emaonly.safetensors in" in run.output
    assert "Have images made and look at them]" not in run.output


def test_refused_request_is_told_and_nothing_is_left(verifying: Ansible, stack: Stack) -> None:
    run = verify(
        verifying, stack, verify_api_key="not-the-key", verify_open_seconds=0, fails=True
    )

    assert "unauthorized: " in run.output
    assert left_behind(verifying, stack) == NOTHING


def test_failed_task_is_told_and_nothing_is_left(verifying: Ansible, stack: Stack) -> None:
    run = verify(
        verifying, stack, runtimes=[COMFYUI], verify_model="none.safetensors", fails=True
    )

    assert "verify-comfyruntime-pipeline ended as failed" in run.output
    assert left_behind(verifying, stack) == NOTHING


def test_check_sends_nothing(verifying: Ansible, stack: Stack) -> None:
    verify(verifying, stack, "--check")

    assert left_behind(verifying, stack) == NOTHING


def test_command_that_is_not_there_is_one_sentence(verifying: Ansible, stack: Stack) -> None:
    run = verify(verifying, stack, runtimes=[COMFYUI], darkroom_command="none", fails=True)

    assert "there is no command none: install the wheel of Darkroom" in run.output
