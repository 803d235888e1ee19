"""`darkroom dlq`: nothing that was parked is lost by looking at it or trying again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from commands import failed, run
from harness import Callbacks, Stack, text_to_image

from awsio import clients
from contracts.ids import new_uid


@pytest.fixture
async def parked(stack: Stack) -> AsyncIterator[str]:
    """The uid of a task whose message lies in the dead-letter queue, beside garbage."""
    accepted = await stack.submit(**text_to_image("parked"))
    await stack.until(accepted["uid"], "completed")
    message = {
        "uid": accepted["uid"],
        "id": "parked",
        "runtime": "sddynamic",
        "tasktype": "text-to-image",
        "prefix": "output",
        "bucket": stack.info["bucket"],
        "accepted_at": "2026-01-01T00:00:00Z",
        "checkpoint": "v1-5-pruned-emaonly.safetensors",
        "content": text_to_image("parked")["content"],
    }
    url = f"{stack.info['queues']['sddynamic']}-dlq"
    async with clients.sqs() as sqs:
        for body in (json.dumps(message), "garbage"):
            await sqs.send_message(QueueUrl=url, MessageBody=body)
        yield accepted["uid"]
        await sqs.purge_queue(QueueUrl=url)


def dlq(stack: Stack, *arguments: str) -> tuple[str, ...]:
    return ("dlq", *arguments, "--data-dir", str(stack.folder))


async def bodies(stack: Stack) -> list[str]:
    url = f"{stack.info['queues']['sddynamic']}-dlq"
    found: list[str] = []
    async with clients.sqs() as sqs:
        while messages := (
            await sqs.receive_message(QueueUrl=url, VisibilityTimeout=5, WaitTimeSeconds=1)
        ).get("Messages"):
            found += [message["Body"] for message in messages]
    return found


async def test_looking_takes_nothing_away(stack: Stack, parked: str) -> None:
    listed = run(*dlq(stack, "list", "--runtime", "sddynamic"))
    shown = run(*dlq(stack, "show", parked))

    assert "it is no task message" in " ".join(listed.split())
    assert json.loads(shown)["uid"] == parked
    assert len(await bodies(stack)) == 2


async def test_redriven_task_runs_again_as_a_new_submission(
    stack: Stack, callbacks: Callbacks, parked: str
) -> None:
    run(*dlq(stack, "redrive", parked))

    newest = await stack.task("parked")
    assert newest["uid"] != parked
    assert newest["context"] == {"test": "parked"}
    assert (await callbacks.of(newest["uid"]))["result"] is True
    assert await bodies(stack) == ["garbage"]


async def test_redrive_that_fails_leaves_the_message(stack: Stack, parked: str) -> None:
    sentence = failed(*dlq(stack, "redrive", "--all", "--runtime", "sddynamic"))

    assert "1 messages stay where they are" in sentence
    assert await bodies(stack) == ["garbage"]


async def test_purge_throws_away_what_was_named(stack: Stack, parked: str) -> None:
    assert "1 removed" in run(*dlq(stack, "purge", parked))

    assert await bodies(stack) == ["garbage"]


def test_purge_of_nothing_in_particular_is_refused(stack: Stack) -> None:
    assert "name one message, or say --all" in failed(*dlq(stack, "purge"))


async def test_an_event_that_no_webhook_took_is_sent_again(stack: Stack) -> None:
    prefix = stack.info["queues"]["sddynamic"].removesuffix("-sddynamic")
    url = f"{prefix}_webhooks-dlq"
    said: Any = {"DataType": "String", "StringValue": "given up after 12 tries"}
    job = {"kind": "event", "tenant": "nobody", "webhook": "wh_1", "uid": new_uid()}
    async with clients.sqs() as sqs:
        await sqs.send_message(
            QueueUrl=url, MessageBody=json.dumps(job), MessageAttributes={"reason": said}
        )

    [listed] = json.loads(run(*dlq(stack, "list", "--runtime", "webhooks", "--json")))
    run(*dlq(stack, "redrive", job["uid"], "--runtime", "webhooks"))

    assert (listed["uid"], listed["reason"]) == (job["uid"], "given up after 12 tries")
    assert run(*dlq(stack, "list", "--runtime", "webhooks", "--json")).strip() == "[]"


def test_a_queue_that_is_not_there_is_told_with_those_that_are(stack: Stack) -> None:
    sentence = failed(*dlq(stack, "list", "--runtime", "nosuch"))

    assert "there is no runtime 'nosuch'; there are: " in sentence
    assert "webhooks" in sentence
