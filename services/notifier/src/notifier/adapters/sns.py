"""`ResultTopic` on Amazon SNS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace

from awsio.errors import translated
from contracts.callback import Callback
from contracts.kinds import TaskType
from servicekit.telemetry import outgoing_context

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient

tracer = trace.get_tracer(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnsResultTopic:
    """Publishes with the attributes that subscriptions filter by (api.md)."""

    client: SNSClient
    topic_arn: str

    async def publish(self, callback: Callback, tasktype: TaskType) -> None:
        with tracer.start_as_current_span("callback publish", kind=trace.SpanKind.PRODUCER):
            attributes = {
                "runtime": callback.runtime,
                "tasktype": tasktype,
                "status": callback.status,
                "result": "true" if callback.result else "false",
                **outgoing_context(),
            }
            with translated("sns.publish"):
                await self.client.publish(
                    TopicArn=self.topic_arn,
                    Message=callback.model_dump_json(),
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value}
                        for name, value in attributes.items()
                    },
                )
