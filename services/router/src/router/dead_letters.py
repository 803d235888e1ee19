"""Messages that were parked: looked at, done after all, or thrown away."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from pydantic_core import to_json

from contracts.ids import Uid, new_uid
from contracts.message import TaskMessage, UndecodableError, decode_content
from contracts.runtimes import WEBHOOKS, Runtime
from ledger.port import Ledger
from ledger.record import Record
from router.domain import Claim, DeadLetter, Reader
from router.parked_task import About, about, reason_of, resubmission
from router.ports import Claims, Queues
from router.submit_once import SubmitOnce
from servicekit.errors import AppError, RejectedError

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH: Final = 100  # messages of a queue in one call, unless they are named
BUDGET: Final = timedelta(seconds=12)  # after which a call begins with no further message
NO_TIME: Final = "there was no time for it: ask again"


class Fate(StrEnum):
    """What became of a message."""

    REDRIVEN = "redriven"
    PURGED = "purged"
    KEPT = "kept"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one message."""

    message_id: str
    fate: Fate
    uid: str = ""  # the task that is done after all
    reason: str = ""  # why it is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One message, and why it is there."""

    about: About
    reason: str
    id: str  # the client's, of its task; empty if it is unknown


Work = Callable[[DeadLetter], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """The dead letters of all runtimes and of webhooks, for operators.

    Every call raises `RejectedError` (`forbidden`, `runtime_not_found`) and `TransientError`.
    """

    runtimes: Sequence[Runtime]
    queues: Queues
    ledger: Ledger
    submit: SubmitOnce
    claims: Claims
    output_bucket: str

    async def look(self, reader: Reader, queue: str, limit: int) -> list[Listed]:
        """Up to `limit` messages of one queue, or of all if it is empty; newest first."""

        async def seen(name: str) -> list[DeadLetter]:
            async with self.queues.parked(name, limit) as letters:
                return letters

        found = await self._of_each(reader, queue, seen)
        found = sorted(found, key=lambda letter: letter.sent_at, reverse=True)[:limit]
        abouts = [about(letter, self.output_bucket) for letter in found]
        uids = [each.uid for each in abouts if each.uid]
        records = {record.uid: record for record in await self.ledger.many(uids)}
        return [
            Listed(about=each, reason=reason_of(each, records), id=_id_of(each, records))
            for each in abouts
        ]

    async def redrive(
        self, reader: Reader, queue: str, only: frozenset[str] | None
    ) -> list[Outcome]:
        """Have messages done after all; safe to repeat."""
        return await self._work(reader, queue, only, self._redriven)

    async def purge(
        self, reader: Reader, queue: str, only: frozenset[str] | None
    ) -> list[Outcome]:
        """Throw messages away."""

        async def purged(letter: DeadLetter) -> Outcome:
            await self.queues.delete(letter)
            log.info("dead letter purged", extra={"message_id": letter.message_id})
            return Outcome(message_id=letter.message_id, fate=Fate.PURGED)

        return await self._work(reader, queue, only, purged)

    async def _work(
        self, reader: Reader, queue: str, only: frozenset[str] | None, work: Work
    ) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + BUDGET.total_seconds()

        async def worked(name: str) -> list[Outcome]:
            done: list[Outcome] = []
            limit = BATCH if only is None else len(only)
            async with self.queues.parked(name, limit, only) as letters:
                for letter in letters:
                    if loop.time() < ends:
                        done.append(await _told(letter, work))
                    elif only is not None:
                        done.append(_kept(letter, NO_TIME))
            return done

        done = await self._of_each(reader, queue, worked)
        missing = (only or frozenset()) - {outcome.message_id for outcome in done}
        return [
            *done,
            *(Outcome(message_id=id, fate=Fate.NOT_FOUND) for id in sorted(missing)),
        ]

    async def _of_each(
        self, reader: Reader, queue: str, work: Callable[[str], Coroutine[Any, Any, list[T]]]
    ) -> list[T]:
        names = self._named(reader, queue)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work(name), name=f"dead-letters-{name}") for name in names
            ]
        return [each for task in tasks for each in task.result()]

    def _named(self, reader: Reader, queue: str) -> list[str]:
        if not reader.all_tenants:
            raise RejectedError("dead letters are for operators", code="forbidden")
        known = [*(runtime.name for runtime in self.runtimes), WEBHOOKS]
        if queue and queue not in known:
            raise RejectedError(
                f"there is no runtime '{queue[:64]}'; there are: {', '.join(known)}",
                code="runtime_not_found",
            )
        return [queue] if queue else known

    async def _redriven(self, letter: DeadLetter) -> Outcome:
        task = about(letter, self.output_bucket).task
        uid = ""
        if letter.queue == WEBHOOKS:
            await self.queues.put_back(letter)
        elif task is None:
            return _kept(letter, "it is no task message")
        else:
            record = await self.ledger.get(task.uid)
            if record is None:
                return _kept(letter, "its task is not known any more")
            if record.terminal:
                uid = await self._again(letter, task, record)
            else:
                await self.queues.put_back(letter)
                uid = task.uid
        await self.queues.delete(letter)
        log.info("dead letter redriven", extra={"message_id": letter.message_id, "uid": uid})
        return Outcome(message_id=letter.message_id, fate=Fate.REDRIVEN, uid=uid)

    async def _again(self, letter: DeadLetter, task: TaskMessage, record: Record) -> Uid:
        """The uid of a new submission: the same one if it was made by an earlier try."""
        if task.content_key is None:
            content = to_json(task.content)
        else:
            content = await self.claims.get(task.content_key)
            decode_content(content)
        claim = Claim(
            tenant=record.tenant,
            key=f"dead-letter {letter.message_id}",
            fingerprint=hashlib.sha256(letter.body.encode()).hexdigest(),
            uid=new_uid(),
        )
        made = await self.submit(resubmission(task, content, record, claim.uid), claim)
        return made.uid


async def _told(letter: DeadLetter, work: Work) -> Outcome:
    """What becomes of a message, which stays when its work fails."""
    try:
        return await work(letter)
    except (AppError, UndecodableError) as error:
        log.warning(
            "dead letter stays", exc_info=error, extra={"message_id": letter.message_id}
        )
        return _kept(letter, str(error))


def _kept(letter: DeadLetter, reason: str) -> Outcome:
    return Outcome(message_id=letter.message_id, fate=Fate.KEPT, reason=reason)


def _id_of(seen: About, records: dict[Uid, Record]) -> str:
    if seen.task is not None:
        return seen.task.id
    record = records.get(seen.uid) if seen.uid else None
    return record.id if record else ""
