"""`TaskTopic` on Amazon SNS."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from awsio.errors import refused, translated
from contracts.kinds import TaskType
from router.batches import Batches, BatchLimits, End, batching
from servicekit.errors import TransientError
from servicekit.telemetry import outgoing_context

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient

tracer = trace.get_tracer(__name__)

_ACTION: Final = "sns.publish"
LIMITS: Final = BatchLimits(entries=10, size=256 * 1024)  # of PublishBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class SnsTaskTopic:
    """Publishes with the attributes that the queues' filter policies read."""

    batches: Batches[dict[str, Any]]
    fair_queues: bool  # the message group makes the queue fair between tenants

    async def publish(
        self, message: bytes, *, runtime: str, tasktype: TaskType, tenant: str
    ) -> None:
        with tracer.start_as_current_span("task publish", kind=trace.SpanKind.PRODUCER):
            attributes = {"runtime": runtime, "tasktype": tasktype, **outgoing_context()}
            entry: dict[str, Any] = {
                "Message": message.decode(),
                "MessageAttributes": {
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in attributes.items()
                },
            }
            if self.fair_queues:
                entry["MessageGroupId"] = _group(tenant)
            size = len(message) + sum(
                len(name) + len("String") + len(value.encode())
                for name, value in attributes.items()
            )
            await self.batches.put(entry, size)


@asynccontextmanager
async def sns_task_topic(
    client: SNSClient, topic_arn: str, *, fair_queues: bool, limits: BatchLimits = LIMITS
) -> AsyncIterator[SnsTaskTopic]:
    """A topic; at the end, every message that it was given is published or refused."""

    async def send(entries: Sequence[dict[str, Any]]) -> list[End]:
        if len(entries) == 1:
            with translated(_ACTION):
                await client.publish(TopicArn=topic_arn, **entries[0])
            return [None]
        numbered: Any = [{"Id": str(number), **one} for number, one in enumerate(entries)]
        with translated(_ACTION):
            answer = await client.publish_batch(
                TopicArn=topic_arn, PublishBatchRequestEntries=numbered
            )
        ends: dict[str, End] = {one["Id"]: None for one in answer.get("Successful", [])}
        for one in answer.get("Failed", []):
            ends[one["Id"]] = refused(_ACTION, one["Code"])
        unknown = TransientError("SNS did not say whether it took the message")
        return [ends.get(one["Id"], unknown) for one in numbered]

    async with batching(send, limits) as batches:
        yield SnsTaskTopic(batches=batches, fair_queues=fair_queues)


def _group(tenant: str) -> str:
    # SNS takes 1 to 128 printable characters of ASCII.
    if re.fullmatch(r"[!-~]{1,128}", tenant):
        return tenant
    return hashlib.sha256(tenant.encode()).hexdigest()
