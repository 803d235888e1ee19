"""Watching a task: its record now, and after each change, until it has ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta

from contracts.ids import Uid
from ledger.port import Ledger
from ledger.record import Record
from notifier.changes import Changes
from servicekit.errors import RejectedError, TransientError


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Streams records. The ledger is the truth: whoever writes it, the watcher sees it."""

    ledger: Ledger
    changes: Changes
    poll: timedelta  # how soon a change by another process is seen
    limit: int  # watchers of this process

    async def __call__(self, uid: Uid, after_sequence: int) -> AsyncGenerator[Record, None]:
        """The record whenever its sequence is beyond `after_sequence` and what was given.

        Raises `RejectedError` (`task_not_found`), and `TransientError` when there are too many
        watchers, the ledger cannot be read, or the process stops: then ask again with the last
        sequence.
        """
        if self.changes.watchers >= self.limit:
            raise TransientError("too many watchers", limit=self.limit)
        seen = after_sequence
        with self.changes.watching(uid) as wakeup:
            while not self.changes.closed:
                record = await self.ledger.get(uid)
                if record is None:
                    raise RejectedError(f"there is no task '{uid}'", code="task_not_found")
                if record.sequence > seen:
                    yield record
                    seen = record.sequence
                if record.terminal:
                    return
                await wakeup.wait(self.poll)
        raise TransientError("the notifier stops")
