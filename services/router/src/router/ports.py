"""What the router needs from the outside world, in its own words."""

from __future__ import annotations

from typing import Protocol

from contracts.ids import Key, Uid
from contracts.kinds import TaskType


class Models(Protocol):
    """The catalogue of the model bucket."""

    async def require_checkpoint(self, name: str) -> None:
        """Return if the bucket has the checkpoint.

        Raises `RejectedError` (`model_not_found`, with what there is) if it has not, and
        `TransientError` when the catalogue cannot be asked.
        """
        ...


class TaskTopic(Protocol):
    """Where tasks go to the queues of their runtimes."""

    async def publish(self, message: bytes, *, runtime: str, tasktype: TaskType) -> None:
        """Hand the message over; raises `TransientError` when that is not certain."""
        ...


class Claims(Protocol):
    """Keeps the bodies that are too large for a message, until they expire."""

    async def put(self, uid: Uid, content_json: bytes) -> Key:
        """Store a body and give its key; raises `TransientError`."""
        ...
