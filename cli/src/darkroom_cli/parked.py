"""Messages that the redrive policy has parked, and what an operator does with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from awsio import clients
from awsio.errors import translated
from contracts.message import TaskMessage, UndecodableError
from contracts.original import OriginalMessage
from darkroom_cli.errors import CommandError
from servicekit.errors import AppError

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

HELD_SECONDS: Final = 60  # how long a look hides a message, if it is not given back
BATCH: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """One parked message."""

    message_id: str
    body: str = field(repr=False)
    receipt: str = field(repr=False)
    sent_at: datetime
    runtime: str  # whose queue has parked it
    bucket: str  # of the results

    @property
    def task(self) -> TaskMessage | None:
        """The task that it carries, also in the original solution's form; None if none."""
        with suppress(UndecodableError):
            return TaskMessage.decode(self.body)
        with suppress(UndecodableError):
            return OriginalMessage.decode(self.body).task(
                runtime=self.runtime,
                bucket=self.bucket,
                message_id=self.message_id,
                sent_at=self.sent_at,
            )
        return None

    def named(self, name: str) -> bool:
        """Whether `name` is its message id, or its task's uid or id."""
        task = self.task
        return name == self.message_id or (task is not None and name in {task.uid, task.id})


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead-letter queue of one runtime."""

    sqs: SQSClient
    url: str
    source_url: str  # the queue whose messages it parks
    runtime: str
    bucket: str  # of the results

    @asynccontextmanager
    async def held(self, limit: int) -> AsyncIterator[list[Parked]]:
        """Up to `limit` messages; those that are still there afterwards are given back.

        SQS has no way to look without taking.
        """
        found: dict[str, Parked] = {}
        try:
            while len(found) < limit:
                batch = await self._receive(min(BATCH, limit - len(found)))
                if not batch:
                    break
                found |= {parked.message_id: parked for parked in batch}
            yield list(found.values())
        finally:
            for parked in found.values():
                await self._give_back(parked)

    async def delete(self, parked: Parked) -> None:
        """Remove a message for good."""
        with translated("sqs.delete_message"):
            await self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=parked.receipt)

    async def put_back(self, parked: Parked) -> None:
        """Hand what a message says to agents again, as a message of its own."""
        with translated("sqs.send_message"):
            await self.sqs.send_message(QueueUrl=self.source_url, MessageBody=parked.body)

    async def _receive(self, count: int) -> list[Parked]:
        with translated("sqs.receive_message"):
            answer = await self.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=count,
                WaitTimeSeconds=1,
                VisibilityTimeout=HELD_SECONDS,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        return [
            Parked(
                message_id=message["MessageId"],
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                sent_at=datetime.fromtimestamp(
                    int(message["Attributes"]["SentTimestamp"]) / 1000, UTC
                ),
                runtime=self.runtime,
                bucket=self.bucket,
            )
            for message in answer.get("Messages", [])
        ]

    async def _give_back(self, parked: Parked) -> None:
        try:
            with translated("sqs.change_message_visibility"):
                await self.sqs.change_message_visibility(
                    QueueUrl=self.url, ReceiptHandle=parked.receipt, VisibilityTimeout=0
                )
        except AppError:
            return  # it was deleted, or shows itself again after HELD_SECONDS


@asynccontextmanager
async def dead_letters(
    queue_url: str, *, runtime: str, bucket: str
) -> AsyncIterator[DeadLetters]:
    """Open the dead-letter queue that the redrive policy of a runtime's queue names."""
    async with clients.sqs() as sqs:
        with translated("sqs.get_queue_attributes"):
            answer = await sqs.get_queue_attributes(
                QueueUrl=queue_url, AttributeNames=["RedrivePolicy"]
            )
            policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
            if "deadLetterTargetArn" not in policy:
                raise CommandError(f"{queue_url} has no dead-letter queue")
            name = policy["deadLetterTargetArn"].rsplit(":", 1)[1]
            url = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
        yield DeadLetters(sqs, url, queue_url, runtime, bucket)


def resubmission(task: TaskMessage, content: dict[str, Any], context: Any) -> dict[str, Any]:
    """The v1alpha2 request that asks for the task once more."""
    if task.checkpoint:
        scripts = {
            **content.get("alwayson_scripts", {}),
            "sd_model_checkpoint": task.checkpoint,
        }
        content = {**content, "alwayson_scripts": scripts}
    metadata = {
        "id": task.id,
        "runtime": task.runtime,
        "tasktype": task.tasktype.value,
        "prefix": task.prefix,
        "context": context,
        "timeout_seconds": task.timeout_seconds,
    }
    return {"metadata": metadata, "content": content}
