"""`TaskTopic` on Amazon SNS."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    fair_queues: bool  # the message group makes the queue fair between tenants

    async def publish(
        self, message: bytes, *, runtime: str, tasktype: TaskType, tenant: str
    ) -> None:
        with tracer.start_as_current_span("task publish", kind=trace.SpanKind.PRODUCER):
            attributes = {"runtime": runtime, "tasktype": tasktype, **outgoing_context()}
            extra: Any = {"MessageGroupId": _group(tenant)} if self.fair_queues else {}
            with translated("sns.publish"):
                await self.client.publish(
                    TopicArn=self.topic_arn,
                    Message=message.decode(),
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value}
                        for name, value in attributes.items()
                    },
                    **extra,
                )


def _group(tenant: str) -> str:
    # SNS takes 1 to 128 printable characters of ASCII.
    if re.fullmatch(r"[!-~]{1,128}", tenant):
        return tenant
    return hashlib.sha256(tenant.encode()).hexdigest()
