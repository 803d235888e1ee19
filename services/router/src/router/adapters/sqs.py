"""`Queues` on Amazon SQS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from awsio.errors import translated
from router.domain import WEBHOOKS, Depth

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

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
