from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from awsio import clients
from contracts.ids import DEFAULT_PREFIX, new_uid, task_id
from contracts.kinds import RuntimeType, TaskType
from contracts.message import TaskMessage
from contracts.runtimes import Runtime
from darkroom_cli.api import Api
from darkroom_cli.commands.dlq import redriven
from darkroom_cli.embedded.folder import Running
from darkroom_cli.parked import dead_letters, resubmission
from provisioning.resources import Resources, provision
from testkit.aws import aws

__all__ = ["aws"]


class OpenTaskApi(Api):
    """Knows every task, and that it is queued."""

    async def task(self, name: str) -> dict[str, Any]:
        return {"uid": name, "state": "queued"}


def running(made: Resources) -> Running:
    return Running(
        endpoint="http://127.0.0.1:1",
        grpc="127.0.0.1:2",
        api_key="key",
        result_topic_arn=made.result_topic_arn,
        bucket=made.output_bucket,
        model_bucket=made.model_bucket,
        claim_bucket=made.claim_bucket,
        queues=made.queues,
        aws_endpoint_url=None,
    )


async def test_a_task_that_has_not_ended_is_handed_to_its_agents_again_as_it_is(
    aws: str,
) -> None:
    runtime = Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)
    made = await provision(f"cli-{new_uid().lower()}", [runtime])
    uid = new_uid()
    body = json.dumps(
        {
            "uid": uid,
            "id": "a",
            "runtime": "sdruntime",
            "tasktype": "text-to-image",
            "prefix": "output",
            "bucket": "output",
            "accepted_at": "2026-01-01T00:00:00Z",
            "content": {"prompt": "A dog"},
        }
    )
    async with clients.sqs() as sqs:
        await sqs.send_message(QueueUrl=made.dead_letter_queues["sdruntime"], MessageBody=body)
        api = OpenTaskApi("http://127.0.0.1:1", "key")
        opened = dead_letters(made.queues["sdruntime"], runtime="sdruntime", bucket="output")
        async with api, opened as queue, queue.held(10) as held:
            (parked,) = held
            said = await redriven(api, running(made), queue, parked)
        answer = await sqs.receive_message(QueueUrl=made.queues["sdruntime"])

    assert json.loads(said) == {"id": "a", "uid": uid}
    assert [message["Body"] for message in answer["Messages"]] == [body]


class EndedTaskApi(Api):
    """Knows every task, as given up, and keeps what is submitted."""

    submitted: Any = None

    async def task(self, name: str) -> dict[str, Any]:
        return {"uid": name, "state": "failed", "context": {"n": 1}}

    async def submit(self, metadata: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        self.submitted = metadata, content
        return {"id": metadata["id"], "uid": "new"}


async def test_a_parked_message_of_the_original_is_listed_and_submitted_as_a_task(
    aws: str,
) -> None:
    made = await provision(
        f"cli-{new_uid().lower()}", [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)]
    )
    asked = {"id": "a", "runtime": "legacy", "tasktype": "text-to-image"}
    body = json.dumps({"metadata": asked, "content": {"prompt": "A dog"}})
    async with clients.sqs() as sqs:
        url = made.dead_letter_queues["sdruntime"]
        await sqs.send_message(QueueUrl=url, MessageBody=body)
        api = EndedTaskApi("http://127.0.0.1:1", "key")
        opened = dead_letters(made.queues["sdruntime"], runtime="sdruntime", bucket="output")
        async with api, opened as queue, queue.held(10) as held:
            (parked,) = held
            said = await redriven(api, running(made), queue, parked)

    assert parked.named("a")
    assert json.loads(said) == {"id": "a", "uid": "new"}
    metadata, content = api.submitted
    assert (metadata["runtime"], metadata["context"]) == ("sdruntime", {"n": 1})
    assert content == {"prompt": "A dog"}


def test_parked_task_is_submitted_as_it_was() -> None:
    parked = TaskMessage(
        uid=new_uid(),
        id=task_id("a"),
        runtime="sddynamic",
        tasktype=TaskType.TEXT_TO_IMAGE,
        prefix=DEFAULT_PREFIX,
        bucket="output",
        checkpoint="v1-5.safetensors",
        accepted_at=datetime.now(UTC),
        timeout_seconds=90,
        content={"prompt": "A dog"},
    )

    request = resubmission(parked, {"prompt": "A dog"}, {"order": 7})

    assert request == {
        "metadata": {
            "id": "a",
            "runtime": "sddynamic",
            "tasktype": "text-to-image",
            "prefix": "output",
            "context": {"order": 7},
            "timeout_seconds": 90,
        },
        "content": {
            "prompt": "A dog",
            "alwayson_scripts": {"sd_model_checkpoint": "v1-5.safetensors"},
        },
    }
