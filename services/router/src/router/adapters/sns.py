"""`TaskTopic` on Amazon SNS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace

from awsio.errors import translated
from contracts.kinds import TaskType
from servicekit.telemetry import outgoing_context

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient

tracer = trace.get_tracer(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnsTaskTopic:
    """Publishes with the attributes that the queues' filter policies read."""

    client: SNSClient
    topic_arn: str

    async def publish(self, message: bytes, *, runtime: str, tasktype: TaskType) -> None:
        with tracer.start_as_current_span("task publish", kind=trace.SpanKind.PRODUCER):
            attributes = {"runtime": runtime, "tasktype": tasktype, **outgoing_context()}
            with translated("sns.publish"):
                await self.client.publish(
                    TopicArn=self.topic_arn,
                    Message=message.decode(),
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value}
                        for name, value in attributes.items()
                    },
                )
