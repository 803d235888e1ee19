"""Both submission forms, from the golden files through REST to the callback."""

from __future__ import annotations

import asyncio
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness import Callbacks, Stack, pipeline
from PIL import Image

from awsio import clients

GOLDEN = Path("tests/contract/golden")
REMOTE = "https://huggingface.co/datasets/huggingface/documentation-images/resolve/main/diffusers/cat.png"
CALLBACK = json.loads((GOLDEN / "callback.completed.json").read_text())
UID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")

# name, runtime that takes it, prefix, context in the callback, size of the image
V1ALPHA2: list[tuple[str, str, str, Any, tuple[int, int]]] = [
    ("v1alpha2-text-to-image", "sdruntime", "output", "", (512, 512)),
    ("v1alpha2-image-to-image", "sdruntime", "output", "", (512, 512)),
    ("v1alpha2-extra-single-image", "sdruntime", "output", "", (384, 256)),
    ("v1alpha2-dynamic-model", "sddynamic", "output", {"abc": 123}, (512, 512)),
]
V1ALPHA1: list[tuple[str, str, str, Any, tuple[int, int]]] = [
    ("v1alpha1-text-to-image", "sdruntime", "outputs", {}, (512, 512)),
    ("v1alpha1-image-to-image", "sdruntime", "output", {}, (512, 512)),
]


def golden_request(name: str, picture_url: str) -> dict[str, Any]:
    """Read a request; its input image is on a server that the test can reach."""
    text = (GOLDEN / f"{name}.request.json").read_text()
    request: dict[str, Any] = json.loads(text.replace(REMOTE, picture_url))
    return request


def assert_like_golden(answer: dict[str, Any], golden: str, expected: dict[str, Any]) -> None:
    """Compare an answer with the golden one: same keys in the same order, these values."""
    sample = json.loads((GOLDEN / golden).read_text())
    assert list(answer) == list(sample)
    assert UID.fullmatch(answer["uid"])
    assert answer == {**expected, "uid": answer["uid"]}


async def assert_completed(
    callback: dict[str, Any], expected: dict[str, Any], stack: Stack, place: str
) -> bytes:
    """Compare a callback with the golden one key by key; gives its image."""
    assert list(callback) == list(CALLBACK)
    stem = rf"{re.escape(place)}/{re.escape(expected['id'])}-[0-9a-f]{{4}}"
    assert len(callback["image_url"]) == 1
    assert re.fullmatch(rf"{stem}-1\.png", callback["image_url"][0])
    assert re.fullmatch(rf"{stem}\.out", callback["output_url"])
    rest = {key: value for key, value in callback.items() if not key.endswith("_url")}
    assert rest == {"result": True, "status": "completed", "error": None, **expected}
    image, content_type = await stack.object(callback["image_url"][0])
    assert content_type == "image/png"
    return image


async def read_out(stack: Stack, url: str) -> dict[str, Any]:
    content, content_type = await stack.object(url)
    assert content_type == "application/json"
    document: dict[str, Any] = json.loads(content)
    return document


@pytest.mark.parametrize(("name", "runtime", "prefix", "context", "size"), V1ALPHA2)
async def test_v1alpha2_request_becomes_the_golden_answer_and_callback(
    stack: Stack,
    callbacks: Callbacks,
    picture_url: str,
    name: str,
    runtime: str,
    prefix: str,
    context: Any,
    size: tuple[int, int],
) -> None:
    request = golden_request(name, picture_url)
    task_id = request["task"]["metadata"]["id"]
    place = f"s3://{stack.info['bucket']}/{prefix}/{task_id}"

    async with stack.client() as client:
        answer = await client.post("/v1alpha2", json=request)

    assert answer.status_code == 200, answer.text
    accepted = answer.json()
    expected = {"id_task": task_id, "id": task_id, "runtime": runtime, "output_location": place}
    assert_like_golden(accepted, "v1alpha2.response.json", expected)
    callback = await callbacks.of(accepted["uid"])
    told = {"id": task_id, "context": context, "runtime": runtime, "uid": accepted["uid"]}
    image = await assert_completed(callback, told, stack, place)
    assert Image.open(io.BytesIO(image)).size == size
    document = await read_out(stack, callback["output_url"])
    assert document["parameters"]["id_task"] == task_id
    assert document["parameters"]["error_msg"] == ""


@pytest.mark.parametrize(("name", "runtime", "prefix", "context", "size"), V1ALPHA1)
async def test_v1alpha1_request_becomes_the_golden_answer_and_callback(
    stack: Stack,
    callbacks: Callbacks,
    picture_url: str,
    name: str,
    runtime: str,
    prefix: str,
    context: Any,
    size: tuple[int, int],
) -> None:
    request = golden_request(name, picture_url)
    scripts = request["alwayson_scripts"]
    place = f"s3://{stack.info['bucket']}/{prefix}/{scripts['id_task']}"

    async with stack.client() as client:
        answer = await client.post("/v1alpha1", json=request)

    assert answer.status_code == 200, answer.text
    accepted = answer.json()
    expected = {
        "id_task": scripts["id_task"],
        "sd_model_checkpoint": scripts["sd_model_checkpoint"],
        "output_location": place,
    }
    assert_like_golden(accepted, "v1alpha1.response.json", expected)
    callback = await callbacks.of(accepted["uid"])
    told = {
        "id": scripts["id_task"],
        "context": context,
        "runtime": runtime,
        "uid": accepted["uid"],
    }
    image = await assert_completed(callback, told, stack, place)
    assert Image.open(io.BytesIO(image)).size == size


async def test_pipeline_is_called_back_with_its_outputs(
    stack: Stack, callbacks: Callbacks
) -> None:
    accepted = await stack.submit(**pipeline("golden-pipeline"))

    callback = await callbacks.of(accepted["uid"])

    told = {
        "id": "golden-pipeline",
        "context": {},
        "runtime": "comfyruntime",
        "uid": accepted["uid"],
    }
    await assert_completed(callback, told, stack, accepted["output_location"])
    document = await read_out(stack, callback["output_url"])
    assert list(document) == ["code", "prompt_id", "outputs", "status"]
    assert document["code"] == 200


async def test_failure_of_the_runtime_is_a_failed_callback(
    stack: Stack, callbacks: Callbacks
) -> None:
    task = {
        "metadata": {
            "id": "bad-upscaler",
            "runtime": "sdruntime",
            "tasktype": "extra-single-image",
        },
        "content": {"upscaler_1": "No such upscaler", "image": "aGVsbG8="},
    }
    accepted = await stack.submit(**task)

    callback = await callbacks.of(accepted["uid"])

    assert list(callback) == list(CALLBACK)
    assert (callback["result"], callback["status"]) == (False, "failed")
    assert callback["image_url"] == []
    assert list(callback["error"]) == ["code", "message", "retryable"]
    document = await read_out(stack, callback["output_url"])
    assert document["images"] == [""]
    assert document["parameters"]["status"] == 0
    assert callbacks.attributes[accepted["uid"]].items() >= {
        ("runtime", "sdruntime"),
        ("tasktype", "extra-single-image"),
        ("status", "failed"),
        ("result", "false"),
    }


@pytest.mark.parametrize(("name", "runtime", "prefix", "context", "size"), V1ALPHA2[:1])
async def test_message_of_the_original_in_the_task_topic_becomes_the_golden_callback(
    stack: Stack,
    callbacks: Callbacks,
    picture_url: str,
    name: str,
    runtime: str,
    prefix: str,
    context: Any,
    size: tuple[int, int],
) -> None:
    message = golden_request(name, picture_url)["task"]
    message["metadata"]["id"] = "straight"

    uid = await published(stack, message, {"runtime": runtime})

    told = {"id": "straight", "context": context, "runtime": runtime, "uid": uid}
    place = f"s3://{stack.info['bucket']}/{prefix}/straight"
    image = await assert_completed(await callbacks.of(uid), told, stack, place)
    assert Image.open(io.BytesIO(image)).size == size


@pytest.mark.parametrize(("name", "runtime", "prefix", "context", "size"), V1ALPHA1)
async def test_message_of_the_original_is_routed_by_its_checkpoint(
    stack: Stack,
    callbacks: Callbacks,
    picture_url: str,
    name: str,
    runtime: str,
    prefix: str,
    context: Any,
    size: tuple[int, int],
) -> None:
    content = golden_request(name, picture_url)
    scripts = content["alwayson_scripts"]
    metadata = {
        "id": f"straight-{scripts['id_task']}",
        "runtime": "legacy",
        "tasktype": scripts["task"],
        "prefix": prefix,
        "context": {},
    }
    message = {"metadata": metadata, "content": {**content, "s3_output_path": "s3://b/x"}}

    checkpoint = {"sd_model_checkpoint": scripts["sd_model_checkpoint"]}
    uid = await published(stack, message, checkpoint)

    told = {"id": metadata["id"], "context": context, "runtime": runtime, "uid": uid}
    place = f"s3://{stack.info['bucket']}/{prefix}/{metadata['id']}"
    image = await assert_completed(await callbacks.of(uid), told, stack, place)
    assert Image.open(io.BytesIO(image)).size == size


async def published(stack: Stack, message: dict[str, Any], attributes: dict[str, str]) -> str:
    """Publish past ingest and the router; gives the uid that the task got."""
    async with clients.sns() as sns:
        await sns.publish(
            TopicArn=stack.info["result_topic_arn"].removesuffix("results") + "tasks",
            Message=json.dumps(message),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )
    async with asyncio.timeout(300), stack.client() as client:
        while True:
            answer = await client.get(f"/v1/tasks/{message['metadata']['id']}")
            if answer.is_success:
                uid: str = answer.json()["uid"]
                return uid
            await asyncio.sleep(0.2)
