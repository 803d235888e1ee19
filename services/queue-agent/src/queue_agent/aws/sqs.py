"""`TaskSource` on Amazon SQS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from awsio.errors import translated
from queue_agent.domain import Delivery, LeaseLostError, QueueMissingError
from servicekit.errors import FatalError, TransientError

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

# SQS says this of a receipt whose message was deleted or handed to somebody else.
_GONE = ("InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid")
_MISSING = ("NonExistentQueue", "QueueDoesNotExist")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsTaskSource:
    """Reads one message at a time: one runtime, one task."""

    client: SQSClient
    queue_url: str
    wait: timedelta
    lease: timedelta

    async def receive(self) -> Delivery | None:
        with _there(), translated("sqs.receive"):
            answer = await self.client.receive_message(
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=int(self.wait.total_seconds()),
                VisibilityTimeout=int(self.lease.total_seconds()),
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                MessageAttributeNames=["All"],
            )
        for message in answer.get("Messages", []):
            attributes = message.get("MessageAttributes", {})
            return Delivery(
                body=message["Body"].encode(),
                receipt=message["ReceiptHandle"],
                receives=int(message["Attributes"]["ApproximateReceiveCount"]),
                message_id=message["MessageId"],
                sent_at=_moment(message["Attributes"]["SentTimestamp"]),
                attributes={
                    name: value["StringValue"]
                    for name, value in attributes.items()
                    if "StringValue" in value
                },
            )
        return None

    async def extend(self, delivery: Delivery, by: timedelta) -> None:
        with _ours("sqs.extend"):
            await self.client.change_message_visibility(
                QueueUrl=self.queue_url,
                ReceiptHandle=delivery.receipt,
                VisibilityTimeout=int(by.total_seconds()),
            )

    async def settle(self, delivery: Delivery) -> None:
        with suppress(LeaseLostError), _ours("sqs.settle"):
            await self.client.delete_message(
                QueueUrl=self.queue_url, ReceiptHandle=delivery.receipt
            )

    async def release(self, delivery: Delivery, after: timedelta = timedelta()) -> None:
        with suppress(LeaseLostError):
            await self.extend(delivery, after)


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


@contextmanager
def _there() -> Iterator[None]:
    try:
        yield
    except FatalError as error:
        if str(error.details.get("code", "")).endswith(_MISSING):
            raise QueueMissingError(str(error), **error.details) from error
        raise


@contextmanager
def _ours(action: str) -> Iterator[None]:
    try:
        with translated(action):
            yield
    except TransientError as error:
        if str(error.details.get("code", "")).endswith(_GONE):
            raise LeaseLostError("the message is not ours any more") from error
        raise
