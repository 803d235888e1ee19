"""What the notifier needs from the outside world, besides the ledger."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from contracts.callback import Callback
from contracts.kinds import TaskType
from ledger.record import Record
from notifier.domain import Parked


class ResultTopic(Protocol):
    """Where the callbacks go."""

    async def publish(self, callback: Callback, tasktype: TaskType) -> None:
        """Tell the world; raises `TransientError` when that is not certain."""
        ...


class Announcer(Protocol):
    """Who else wants to be told of the end of a task."""

    async def announce(self, record: Record) -> None:
        """Have them told, soon; raises `AppError` when that is not certain."""
        ...


class DeadLetters(Protocol):
    """Where the queue of one runtime parks messages; raises `AppError` if it cannot be read."""

    @property
    def name(self) -> str:
        """Names it in logs."""
        ...

    async def count(self) -> int:
        """About how many messages can be seen now."""
        ...

    def look(self) -> AsyncGenerator[Parked, None]:
        """What is parked, of tasks or not. All of it stays.

        Nobody else sees a message between its turn and the end.
        """
        ...
