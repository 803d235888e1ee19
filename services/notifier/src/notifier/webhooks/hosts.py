"""How many requests one host has at once, so that a slow one keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Final

REMEMBERED: Final = 10_000
LINE: Final = 4  # who may wait here for each place
FIRST_SECONDS: Final = 0.1  # what a request is taken to last before one has ended


@dataclass(slots=True)
class _Host:
    running: int = 0
    answers: bool = False  # the last request was answered
    seconds: float = FIRST_SECONDS  # how long the last request took
    next_free: float = 0
    line: deque[asyncio.Future[bool]] = field(default_factory=deque)


class Hosts:
    """Gives each host some places and a short line before them; one place until it answers.

    Whoever finds no room must not wait here, where it would take what others need, so it is
    told when to come again: one after the other, as fast as the host is.
    """

    def __init__(
        self, places: int, clock: Callable[[], float] = monotonic, remembered: int = REMEMBERED
    ) -> None:
        self._places = places
        self._clock = clock
        self._remembered = remembered
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def is_full(self, name: str) -> bool:
        """Whether there is room neither at a place nor in the line."""
        host = self._host(name)
        room = self._places * (1 + LINE) if host.answers else 1
        return host.running + len(host.line) >= room

    async def enter(self, name: str) -> bool:
        """Take a place, after a short wait at most; False if there is none."""
        if self.is_full(name):
            return False
        host = self._host(name)
        if host.running < self._allowed(host):
            host.running += 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        host.line.append(turn)
        return await turn

    def leave(self, name: str, took: timedelta, *, answered: bool) -> None:
        """Give a place back, and say how it went; who waits for a host that hangs goes."""
        host = self._host(name)
        host.running -= 1
        host.answers, host.seconds = answered, took.total_seconds()
        while host.line and (not answered or host.running < self._allowed(host)):
            turn = host.line.popleft()
            if not turn.done():
                turn.set_result(answered)
                host.running += answered

    def wait(self, name: str) -> timedelta:
        """How long whoever found no room shall stay away."""
        host, now = self._host(name), self._clock()
        host.next_free = max(host.next_free, now) + host.seconds / self._allowed(host)
        return timedelta(seconds=host.next_free - now)

    def _allowed(self, host: _Host) -> int:
        return self._places if host.answers else 1

    def _host(self, name: str) -> _Host:
        host = self._hosts.setdefault(name, _Host())
        self._hosts.move_to_end(name)
        if len(self._hosts) > self._remembered:
            idle = (other for other, each in self._hosts.items() if not each.running)
            if (first := next(idle, None)) is not None and first != name:
                del self._hosts[first]
        return host
