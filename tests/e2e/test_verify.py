"""`darkroom verify` as a person runs it, with a stack that runs here."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from typing import Any

from commands import run
from harness import Stack, command, environment

from awsio import clients


async def left_behind(stack: Stack) -> list[Any]:
    """Objects, queues and subscriptions of the command that are there."""
    topic = stack.info["result_topic_arn"]
    async with clients.s3() as s3, clients.sns() as sns, clients.sqs() as sqs:
        objects = await s3.list_objects_v2(Bucket=stack.info["bucket"], Prefix="verify/")
        heard = await sns.list_subscriptions_by_topic(TopicArn=topic)
        queues = await sqs.list_queues(QueueNamePrefix="darkroom-verify")
    return [
        *objects.get("Contents", []),
        *(each for each in heard["Subscriptions"] if "-verify-" in each["Endpoint"]),
        *queues.get("QueueUrls", []),
    ]


async def test_every_runtime_makes_images_and_nothing_is_left(stack: Stack) -> None:
    told = json.loads(run("verify", "--json", "--size", "64", "--data-dir", str(stack.folder)))

    assert told["failures"] == []
    sizes = {image["id"]: image["width"] for image in told["images"]}
    enlarged = {f"verify-{name}-extra-single-image": 512 for name in ("sdruntime", "sddynamic")}
    assert sizes == {
        **enlarged,
        **{
            f"verify-{name}-{tasktype}": 64
            for name in ("sdruntime", "sddynamic")
            for tasktype in ("text-to-image", "image-to-image")
        },
        "verify-comfyruntime-pipeline": 64,
    }
    assert await left_behind(stack) == []


def begun(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start the command, and give it with the uid of the first task that it hands in."""
    process = subprocess.Popen(
        command(*arguments),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = iter(process.stderr.readline, "")
    return process, next(line.split()[-1] for line in told if ": uid " in line)


async def test_interruption_takes_back_what_was_asked_for(stack: Stack) -> None:
    arguments = ("verify", "--runtime", "comfyruntime", "--data-dir", str(stack.folder))

    with stack.held():
        process, uid = await asyncio.to_thread(begun, *arguments)
        await stack.until(uid, "running")
        process.send_signal(signal.SIGINT)
        _, told = await asyncio.to_thread(process.communicate, timeout=300)

    assert (process.returncode, told.splitlines()[-1]) == (1, "darkroom: interrupted")
    assert (await stack.task(uid))["state"] == "cancelled"
    assert await left_behind(stack) == []
