"""What a delivery asks for: our own message, or the original solution's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.message import TaskMessage, UndecodableError
from contracts.original import LEGACY, OriginalMessage, uid_of_message
from queue_agent.domain import Delivery, Incoming, UnworkableError


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReader:
    """Reads messages; `runtime_name` and `bucket` are the only ones it serves."""

    runtime_name: str
    bucket: str
    dynamic_model: bool = False

    def read(self, delivery: Delivery) -> Incoming:
        """What is asked for; raises `UnworkableError` for what this agent must not touch."""
        try:
            message = TaskMessage.decode(delivery.body)
        except UndecodableError as error:
            return self._original(delivery, error)
        if message.runtime != self.runtime_name:
            raise UnworkableError("message for another runtime", uid=message.uid)
        if message.bucket != self.bucket:
            raise UnworkableError("message for another bucket", uid=message.uid)
        return Incoming(message=message)

    def _original(self, delivery: Delivery, reason: UndecodableError) -> Incoming:
        """A task that was published past the router, which has no uid and no record."""
        try:
            original = OriginalMessage.decode(delivery.body)
            content, checkpoint = original.body()
        except UndecodableError:
            raise UnworkableError(f"undecodable message: {reason}") from None
        asked = original.metadata
        if asked.runtime.lower() not in {self.runtime_name, LEGACY}:
            raise UnworkableError("message for another runtime")
        sent_at = delivery.sent_at or datetime.now(UTC)
        message = TaskMessage(
            uid=uid_of_message(delivery.message_id, sent_at),
            id=asked.id,
            runtime=self.runtime_name,
            tasktype=asked.tasktype,
            prefix=asked.prefix,
            bucket=self.bucket,
            checkpoint=checkpoint if self.dynamic_model else None,
            accepted_at=sent_at,
            content=content,
        )
        return Incoming(message=message, context_json=asked.context)
