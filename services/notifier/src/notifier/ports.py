"""What the notifier needs from the outside world, besides the ledger."""

from __future__ import annotations

from typing import Protocol

from contracts.callback import Callback
from contracts.kinds import TaskType


class ResultTopic(Protocol):
    """Where the callbacks go."""

    async def publish(self, callback: Callback, tasktype: TaskType) -> None:
        """Tell the world; raises `TransientError` when that is not certain."""
        ...
