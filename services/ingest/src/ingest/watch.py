"""Watching tasks for clients: streams that outlive a restart of the notifier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Final

from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Change, is_terminal
from ingest.ports import Notifier
from servicekit.errors import AppError, TransientError

log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = timedelta(milliseconds=100)
_LONGEST_PAUSE: Final = timedelta(seconds=2)


class Watches:
    """The streams of this process, a bounded number of them."""

    def __init__(self, notifier: Notifier, *, limit: int, patience: timedelta) -> None:
        self._notifier = notifier
        self._limit = limit
        self._patience = patience  # with a notifier that is away
        self._waiting: set[asyncio.Timeout] = set()
        self._closed = False
        self.open = 0

    def check_room(self) -> None:
        """Raise `TransientError` if there are as many streams as may be."""
        if self._closed or self.open >= self._limit:
            raise TransientError("too many streams", limit=self._limit)

    def close(self) -> None:
        """End all streams as soon as they wait; there will be no new ones."""
        self._closed = True
        for limit in self._waiting:
            limit.reschedule(0)

    async def follow(self, uid: str, after: int) -> AsyncGenerator[Change, None]:
        """The task and each change beyond `after` until it has ended, or all streams end.

        A stream that breaks is taken up again where it was. Raises `RejectedError` if there is
        no such task, and `TransientError` without room or after too long an outage.
        """
        self.check_room()
        self.open += 1
        last: TaskRecord | None = None
        pause, deadline = _FIRST_PAUSE, self._deadline()
        try:
            while not self._closed:
                began = monotonic()
                try:
                    async with aclosing(self._notifier.watch(uid, after)) as upstream:
                        while change := await self._next(upstream):
                            pause, deadline = _FIRST_PAUSE, self._deadline()
                            after, before, last = change.sequence, last, change.task
                            # A new stream cannot know what the one before has told.
                            yield replace(change, state_changed=_differ(before, last))
                            if is_terminal(last):
                                break
                except TransientError as error:
                    # A task may wait for hours without a change, and each connection ends
                    # sooner: a stream that lasted was no outage.
                    if monotonic() - began > self._patience.total_seconds():
                        pause, deadline = _FIRST_PAUSE, self._deadline()
                    if monotonic() >= deadline:
                        raise
                    log.info("watching again", extra={"uid": uid, **error.details})
                else:
                    return
                await self._sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self.open -= 1

    async def outcome(self, uid: str, within: timedelta) -> TaskRecord | None:
        """The task when it has ended; None if that is not known in time."""
        with suppress(TimeoutError, AppError):
            async with (
                asyncio.timeout(within.total_seconds()),
                aclosing(self.follow(uid, 0)) as changes,
            ):
                async for change in changes:
                    if is_terminal(change.task):
                        return change.task
        return None

    def _deadline(self) -> float:
        return monotonic() + self._patience.total_seconds()

    async def _next(self, upstream: AsyncGenerator[Change, None]) -> Change | None:
        """The next change; None at the end of the stream, or when all streams end."""
        try:
            async with asyncio.timeout(None) as limit:
                self._waiting.add(limit)
                try:
                    return await anext(upstream, None)
                finally:
                    self._waiting.discard(limit)
        except TimeoutError:
            return None  # by `close`

    async def _sleep(self, time: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                self._waiting.add(limit)
                try:
                    await asyncio.sleep(time.total_seconds())
                finally:
                    self._waiting.discard(limit)


def _differ(before: TaskRecord | None, now: TaskRecord) -> bool:
    return before is None or (before.state, before.attempt) != (now.state, now.attempt)
