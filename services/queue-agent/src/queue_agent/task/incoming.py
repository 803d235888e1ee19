"""What a delivery asks for: our own message, or the original solution's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.message import TaskMessage, UndecodableError
from contracts.original import OriginalMessage
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
            message = original.task(
                runtime=self.runtime_name,
                bucket=self.bucket,
                message_id=delivery.message_id,
                sent_at=delivery.sent_at or datetime.now(UTC),
            )
        except UndecodableError as error:
            raise UnworkableError(f"undecodable message: {reason}; {error}") from None
        if not self.dynamic_model:
            message = message.model_copy(update={"checkpoint": None})
        return Incoming(message=message, context_json=original.metadata.context)
