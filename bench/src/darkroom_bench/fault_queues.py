"""What may happen to messages in their queues, beside the agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from awsio.errors import translated
from provisioning.resources import Resources

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

SECONDS: Final = 4
PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The queues of all runtimes; each action goes on for `SECONDS`."""

    sqs: SQSClient
    resources: Resources

    async def park(self) -> None:
        """Move what is there to the dead letters, as an operator may."""
        async for runtime, messages in self._received(seconds_hidden=60):
            for body, receipt in messages:
                parked = self.resources.dead_letter_queues[runtime]
                with translated("sqs.send"):
                    await self.sqs.send_message(QueueUrl=parked, MessageBody=body)
                with translated("sqs.delete"):
                    await self.sqs.delete_message(
                        QueueUrl=self.resources.queues[runtime], ReceiptHandle=receipt
                    )

    async def wear_out(self) -> None:
        """Use up the receives of what is there."""
        async for _ in self._received(seconds_hidden=0):
            pass

    async def _received(
        self, *, seconds_hidden: int
    ) -> AsyncIterator[tuple[str, list[tuple[str, str]]]]:
        """Bodies and receipts of what one receive gave, with their runtime."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SECONDS
        while loop.time() < end:
            for runtime, url in self.resources.queues.items():
                with translated("sqs.receive"):
                    answer = await self.sqs.receive_message(
                        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=seconds_hidden
                    )
                found = answer.get("Messages", [])
                yield runtime, [(one["Body"], one["ReceiptHandle"]) for one in found]
            await asyncio.sleep(PAUSE_SECONDS)
