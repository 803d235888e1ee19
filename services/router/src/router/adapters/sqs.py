"""`Queues` on Amazon SQS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from awsio.errors import translated
from contracts.runtimes import WEBHOOKS
from router.domain import DeadLetter, Depth
from servicekit.errors import AppError

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

BATCH: Final = 10  # the most that SQS gives or takes at once
HELD: Final = timedelta(seconds=60)  # how long a look hides a message that is not given back
LOOKING: Final = timedelta(seconds=8)  # for messages, at most

_WAITING: Any = "ApproximateNumberOfMessages"
_HIDDEN: Any = "ApproximateNumberOfMessagesNotVisible"
_LATER: Any = "ApproximateNumberOfMessagesDelayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsQueues:
    """The queues of one stack, found by their names."""

    client: SQSClient
    prefix: str  # begins their names
    _urls: dict[str, str] = field(default_factory=dict)

    async def depth(self, name: str) -> Depth:
        queue = await self._attributes(self.name_of(name))
        parked = await self._attributes(f"{self.name_of(name)}-dlq")
        return Depth(
            queued=int(queue[_WAITING]) + int(queue[_LATER]),
            running=int(queue[_HIDDEN]),
            dead_letters=int(parked[_WAITING]) + int(parked[_HIDDEN]),
        )

    @asynccontextmanager
    async def parked(
        self, name: str, limit: int, only: frozenset[str] | None = None
    ) -> AsyncIterator[list[DeadLetter]]:
        url = await self.url_of(f"{self.name_of(name)}-dlq")
        seen: dict[str, DeadLetter] = {}
        try:
            await self._look(url, name, limit, only, seen)
            wanted = seen.keys() if only is None else seen.keys() & only
            yield [seen[each] for each in seen if each in wanted][:limit]
        finally:
            await self._give_back(url, list(seen.values()))

    async def delete(self, letter: DeadLetter) -> None:
        url = await self.url_of(f"{self.name_of(letter.queue)}-dlq")
        with translated("sqs.delete_message"):
            await self.client.delete_message(QueueUrl=url, ReceiptHandle=letter.receipt)

    async def put_back(self, letter: DeadLetter) -> None:
        url = await self.url_of(self.name_of(letter.queue))
        with translated("sqs.send_message"):
            await self.client.send_message(QueueUrl=url, MessageBody=letter.body)

    def name_of(self, name: str) -> str:
        """The name of a runtime's queue, or of that of webhooks, which is no runtime's."""
        return f"{self.prefix}_{WEBHOOKS}" if name == WEBHOOKS else f"{self.prefix}-{name}"

    async def url_of(self, queue: str) -> str:
        """The URL of a queue."""
        if queue not in self._urls:
            with translated("sqs.get_queue_url"):
                answer = await self.client.get_queue_url(QueueName=queue)
            self._urls[queue] = answer["QueueUrl"]
        return self._urls[queue]

    async def _attributes(self, queue: str) -> dict[Any, str]:
        url = await self.url_of(queue)
        with translated("sqs.get_queue_attributes"):
            answer = await self.client.get_queue_attributes(
                QueueUrl=url, AttributeNames=[_WAITING, _HIDDEN, _LATER]
            )
        return dict(answer["Attributes"])

    async def _look(
        self,
        url: str,
        name: str,
        limit: int,
        only: frozenset[str] | None,
        seen: dict[str, DeadLetter],
    ) -> None:
        """Receive until there is nothing more, or enough: SQS cannot look without taking."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + LOOKING.total_seconds()
        while loop.time() < ends and (
            len(seen) < limit if only is None else not only <= seen.keys()
        ):
            count = BATCH if only is not None else min(BATCH, limit - len(seen))
            with translated("sqs.receive_message"):
                answer = await self.client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=count,
                    WaitTimeSeconds=1,  # so that all servers of SQS are asked
                    VisibilityTimeout=int(HELD.total_seconds()),
                    MessageSystemAttributeNames=["SentTimestamp"],
                    MessageAttributeNames=["reason"],
                )
            messages = answer.get("Messages", [])
            if not messages:
                return
            seen |= {message["MessageId"]: _letter(name, message) for message in messages}

    async def _give_back(self, url: str, letters: list[DeadLetter]) -> None:
        for start in range(0, len(letters), BATCH):
            entries: Any = [
                {"Id": str(number), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                for number, letter in enumerate(letters[start : start + BATCH])
            ]
            # One that was deleted, or is not given back, shows itself after `HELD` if at all.
            with suppress(AppError), translated("sqs.change_message_visibility_batch"):
                await self.client.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def _letter(queue: str, message: MessageTypeDef) -> DeadLetter:
    milliseconds = int(message["Attributes"]["SentTimestamp"])
    attributes = message.get("MessageAttributes", {})
    return DeadLetter(
        message_id=message["MessageId"],
        queue=queue,
        body=message["Body"],
        receipt=message["ReceiptHandle"],
        sent_at=datetime.fromtimestamp(milliseconds / 1000, UTC),
        reason=attributes["reason"].get("StringValue", "") if "reason" in attributes else "",
    )
