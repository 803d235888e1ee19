"""Taking a task back for its client."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from contracts.state import TaskState
from ledger.port import Ledger
from ledger.record import Record
from router.domain import Reader
from router.look_up import LookUp, task_not_found
from router.ports import Notifier
from servicekit.errors import RejectedError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Marks tasks; the notifier ends those that no runtime works on."""

    look_up: LookUp
    ledger: Ledger
    notifier: Notifier

    async def __call__(self, name: str, reader: Reader) -> Record:
        """The task as it then stands: cancelled, or running until its agent knows.

        Safe to repeat until it has ended. Raises `RejectedError` (`task_not_found`,
        `already_finished`), and `TransientError` when it is not certain that it will end.
        """
        found = await self.look_up.one(name, reader)
        marked = await self.ledger.mark_cancelled(found.uid)
        if marked is None:
            raise task_not_found(name)
        if marked.terminal:
            raise RejectedError(
                f"the task has ended before: it is {marked.state}", code="already_finished"
            )
        log.info("marked as cancelled", extra={"uid": found.uid, "state": marked.state})
        if marked.state_for_clients is not TaskState.QUEUED:
            return marked  # its agent ends it; or, if it gives it back, the notifier
        await self.notifier.settle_cancel(found.uid)
        return await self.ledger.get(found.uid) or marked
