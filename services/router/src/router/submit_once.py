"""Accepting a task once, however often its client asks with the same idempotency key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger.port import Ledger
from ledger.record import Record
from router.domain import Claim, Held, Submission
from router.ports import IdempotencyKeys
from router.submit import Submit
from servicekit.errors import AppError, RejectedError, TransientError

log = logging.getLogger(__name__)

SUBMIT_BUDGET: Final = timedelta(seconds=20)  # of a submission with a key
TAKEN_FOR_DEAD: Final = timedelta(seconds=30)  # the budget, and clocks that differ
RELEASE_BUDGET: Final = timedelta(seconds=2)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOnce:
    """Accepts tasks; one with a key only if no earlier one with that key was accepted."""

    submit: Submit
    keys: IdempotencyKeys
    ledger: Ledger
    now: Callable[[], datetime] = _now

    async def __call__(self, task: Submission, claim: Claim | None = None) -> Record:
        """The record of the task, or of the first one with the same key.

        Raises what `Submit` raises; `RejectedError` (`idempotency_conflict`) if the key came
        with another request, and `TransientError` while that one is still under way.
        """
        if claim is None:
            return await self.submit(task)
        now = self.now()
        held = await self.keys.claim(claim, now)
        if held.fingerprint != claim.fingerprint:
            raise RejectedError(
                "the idempotency key was used for another request", code="idempotency_conflict"
            )
        if held.uid != claim.uid:
            first = await self._first(claim, held, now)
            if first is not None:
                return first
        return await self._submit(task, claim)

    async def _first(self, claim: Claim, held: Held, now: datetime) -> Record | None:
        """The first submission if it was accepted; else the key is this claim's."""
        record = await self.ledger.get(held.uid)
        if record is not None and (held.accepted or record.begun):
            return record
        if not held.accepted:
            if now - held.claimed_at < TAKEN_FOR_DEAD:
                raise TransientError("the first submission with this key is under way")
            # Its message may be out: without a record, the agent that gets it drops it. A call
            # that is late all the same finds the key taken over and is refused.
            if not await self.ledger.discard(held.uid):
                return await self.ledger.get(held.uid)
        if not await self.keys.take_over(claim, held, now):
            raise TransientError("another submission with this key is under way")
        log.info("idempotency key taken over", extra={"uid": claim.uid, "from": held.uid})
        return None

    async def _submit(self, task: Submission, claim: Claim) -> Record:
        async def confirm() -> None:
            if not await self.keys.accept(claim):
                raise TransientError("another submission took the key over")

        try:
            async with asyncio.timeout(SUBMIT_BUDGET.total_seconds()):
                return await self.submit(task, confirm)
        except TimeoutError as error:
            await self._give_up(claim)
            raise TransientError("the submission took too long") from error
        except AppError:
            await self._give_up(claim)
            raise

    async def _give_up(self, claim: Claim) -> None:
        """Let the client try again at once, unless the refused task may still run."""
        try:
            async with asyncio.timeout(RELEASE_BUDGET.total_seconds()):
                if await self.ledger.get(claim.uid) is None:
                    await self.keys.release(claim)
        except (AppError, TimeoutError):
            log.warning("an idempotency key stays held", extra={"uid": claim.uid})
