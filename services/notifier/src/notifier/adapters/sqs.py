"""`DeadLetters` on Amazon SQS."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from awsio.errors import translated
from contracts.message import TaskMessage, UndecodableError
from contracts.original import OriginalMessage, uid_of_message
from notifier.domain import Parked, new_record
from servicekit.errors import AppError

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        MessageTypeDef,
    )

BATCH: Final = 10  # the most that SQS gives or takes at once
HELD: Final = timedelta(minutes=5)  # how long a look may take


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsDeadLetters:
    """Receives without deleting: SQS has no way to look without taking."""

    client: SQSClient
    url: str
    prefix: str = ""  # begins the name of the queue, before that of its runtime
    bucket: str = ""  # of the results

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    async def count(self) -> int:
        with translated("sqs.get_queue_attributes"):
            answer = await self.client.get_queue_attributes(
                QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    async def look(self) -> AsyncGenerator[Parked, None]:
        receipts: list[str] = []
        end = time.monotonic() + HELD.total_seconds()
        try:
            while time.monotonic() < end:
                with translated("sqs.receive_message"):
                    answer = await self.client.receive_message(
                        QueueUrl=self.url,
                        MaxNumberOfMessages=BATCH,
                        # So not all servers of SQS are asked; the next look sees the rest.
                        WaitTimeSeconds=0,
                        VisibilityTimeout=int(HELD.total_seconds()),
                        MessageSystemAttributeNames=["SentTimestamp"],
                    )
                messages = answer.get("Messages", [])
                if not messages:
                    break
                receipts += [message["ReceiptHandle"] for message in messages]
                for message in messages:
                    yield self._parked(message)
        finally:
            await self._give_back(receipts)

    def _parked(self, message: MessageTypeDef) -> Parked:
        try:
            return Parked(uid=TaskMessage.decode(message["Body"]).uid)
        except UndecodableError:
            milliseconds = int(message["Attributes"]["SentTimestamp"])
            sent_at = datetime.fromtimestamp(milliseconds / 1000, UTC)
        uid = uid_of_message(message["MessageId"], sent_at)
        runtime = self.name.removeprefix(f"{self.prefix}-").removesuffix("-dlq")
        try:
            original = OriginalMessage.decode(message["Body"])
            task = original.task(
                runtime=runtime,
                bucket=self.bucket,
                message_id=message["MessageId"],
                sent_at=sent_at,
            )
        except UndecodableError:
            return Parked(uid=uid)
        return Parked(uid=uid, new=new_record(task, original.metadata.context))

    async def _give_back(self, receipts: list[str]) -> None:
        for start in range(0, len(receipts), BATCH):
            entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
                {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for number, receipt in enumerate(receipts[start : start + BATCH])
            ]
            # One that is not given back, or was deleted meanwhile, shows itself after `HELD`.
            with suppress(AppError), translated("sqs.change_message_visibility_batch"):
                await self.client.change_message_visibility_batch(
                    QueueUrl=self.url, Entries=entries
                )
