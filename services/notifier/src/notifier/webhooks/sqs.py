"""`Jobs` on Amazon SQS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from awsio.errors import refused, translated
from notifier.webhooks.domain import Job
from notifier.webhooks.ports import Received

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import (
        MessageAttributeValueTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

BATCH: Final = 10  # the most that SQS takes or gives at once
# SQS hides a message for twelve hours at most, counted from its receive.
LONGEST: Final = timedelta(hours=12) - timedelta(minutes=5)
REASON_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsJobs:
    """A queue of its own, so that what waits for a webhook keeps nothing else waiting."""

    client: SQSClient
    url: str
    dead_letter_url: str
    wait: timedelta  # for a first message
    lease: timedelta  # longer than a request may take

    async def send(self, jobs: Sequence[Job]) -> None:
        for start in range(0, len(jobs), BATCH):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(number), "MessageBody": job.model_dump_json()}
                for number, job in enumerate(jobs[start : start + BATCH])
            ]
            with translated("sqs.send_message_batch"):
                answer = await self.client.send_message_batch(
                    QueueUrl=self.url, Entries=entries
                )
            for failed in answer.get("Failed", []):
                raise refused("sqs.send_message_batch", failed["Code"])

    async def receive(self, most: int) -> Sequence[Received]:
        with translated("sqs.receive_message"):
            answer = await self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(most, BATCH),
                WaitTimeSeconds=int(self.wait.total_seconds()),
                VisibilityTimeout=int(self.lease.total_seconds()),
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Received(
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                receives=int(message["Attributes"]["ApproximateReceiveCount"]),
            )
            for message in answer.get("Messages", [])
        ]

    async def release(self, received: Received, after: timedelta) -> None:
        with translated("sqs.change_message_visibility"):
            await self.client.change_message_visibility(
                QueueUrl=self.url,
                ReceiptHandle=received.receipt,
                VisibilityTimeout=max(round(min(after, LONGEST).total_seconds()), 0),
            )

    async def settle(self, received: Received) -> None:
        with translated("sqs.delete_message"):
            await self.client.delete_message(QueueUrl=self.url, ReceiptHandle=received.receipt)

    async def park(self, received: Received, reason: str) -> None:
        attribute: MessageAttributeValueTypeDef = {
            "DataType": "String",
            "StringValue": reason[:REASON_CHARACTERS],
        }
        with translated("sqs.send_message"):
            await self.client.send_message(
                QueueUrl=self.dead_letter_url,
                MessageBody=received.body,
                MessageAttributes={"reason": attribute},
            )
        await self.settle(received)
