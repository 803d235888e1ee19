"""What agents of a simulated day work with: a queue, a runtime that only waits, a bucket."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from contracts.callback import Callback
from contracts.cost import Cost
from contracts.ids import Uid
from contracts.kinds import TaskType
from contracts.state import Progress
from ledger.record import Record, Result
from notifier.settle import Settle
from queue_agent.domain import (
    Begun,
    Delivery,
    File,
    Generated,
    Incoming,
    Job,
    LeaseLostError,
    Leftovers,
    Stored,
    TaskFailedError,
)
from queue_agent.files.body import Body
from queue_agent.ports import (
    ReleaseEarly,
    Report,
    Started,
    no_one_asks,
    no_one_waits,
)
from servicekit.errors import TransientError

LEASE: Final = timedelta(seconds=120)
POLL: Final = timedelta(seconds=10)
PNG: Final = b"\x89PNG\r\n\x1a\n"


@dataclass
class Queue:
    """`TaskSource` of all agents: a message comes back when its lease has ended."""

    waiting: deque[tuple[bytes, int]] = field(default_factory=deque)
    hidden: dict[str, tuple[bytes, int, asyncio.TimerHandle]] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: count[int] = field(default_factory=count)

    def put(self, body: bytes, receives: int = 0) -> None:
        """Let the next agent have a message."""
        self.waiting.append((body, receives))
        self._arrived.set()

    def take_away(self, uid: Uid) -> None:
        """End the lease of a task, as if its agent had been cut off."""
        for receipt, (body, _, _) in list(self.hidden.items()):
            if uid.encode() in body:
                self._hide(receipt, timedelta())

    def take(self) -> tuple[bytes, int]:
        """The message that is handed over next, no longer waiting."""
        return self.waiting.popleft()

    async def receive(self) -> Delivery | None:
        try:
            async with asyncio.timeout(POLL.total_seconds()):
                while not self.waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        body, receives = self.take()
        receipt = f"receipt-{next(self._numbers)}"
        self._hide(receipt, LEASE, (body, receives + 1))
        return Delivery(body=body, receipt=receipt, receives=receives + 1)

    async def extend(self, delivery: Delivery, by: timedelta) -> None:
        if delivery.receipt not in self.hidden:
            raise LeaseLostError("the lease has ended")
        self._hide(delivery.receipt, by)

    async def settle(self, delivery: Delivery) -> None:
        if held := self.hidden.pop(delivery.receipt, None):
            held[2].cancel()

    async def release(self, delivery: Delivery, after: timedelta = timedelta()) -> None:
        if delivery.receipt in self.hidden:
            self._hide(delivery.receipt, after)

    def _hide(
        self, receipt: str, time: timedelta, new: tuple[bytes, int] | None = None
    ) -> None:
        if held := self.hidden.get(receipt):
            held[2].cancel()
            new = held[:2]
        if new:
            later = asyncio.get_running_loop().call_later
            timer = later(time.total_seconds(), self._show, receipt)
            self.hidden[receipt] = (*new, timer)

    def _show(self, receipt: str) -> None:
        body, receives, _ = self.hidden.pop(receipt)
        self.put(body, receives)


@dataclass
class StillRuntime:
    """`ImageRuntime` that takes the seconds that a task asks for; some it fails."""

    _device: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def probe(self) -> None:
        pass

    async def upload(self, name: str, body: Body) -> str:
        return name

    async def encode(self, job: Job) -> Job:
        return job

    def loading(self, job: Job) -> timedelta:
        return timedelta()

    async def run(
        self,
        job: Job,
        report: Report,
        release_early: ReleaseEarly = no_one_waits,
        started: Started = no_one_asks,
    ) -> Generated:
        async with self._device:
            started()
            await asyncio.sleep(job.content["seconds"])
        if job.content["fails"]:
            raise TaskFailedError("no such sampler", code="runtime_error")
        await release_early()
        return Generated(files=(File(body=PNG),), answer={"info": "{}", "parameters": {}})

    async def forget(self, leftovers: Leftovers) -> None:
        pass


class Bucket:
    """`OutputStore` and `ClaimStore` that keep nothing but whose each key is."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    async def write(
        self, key: str, body: Body, content_type: str, owner: str, *, anyway: bool = False
    ) -> str:
        if anyway:
            self._owners[key] = owner
        return self._owners.setdefault(key, owner)

    async def read(self, key: str) -> bytes:
        raise NotImplementedError


class NoWebhooks:
    """`Announcer` of tenants without webhooks."""

    async def announce(self, record: Record) -> None:
        pass


class NoTopic:
    """`ResultTopic` to which nobody listens."""

    async def publish(self, callback: Callback, tasktype: TaskType) -> None:
        pass


@dataclass
class DirectNotifier:
    """`Notifier` of one agent that calls the use case of the service without a wire."""

    settle: Settle
    agent: str
    cut_off: bool = False  # the machine is gone

    async def begin(self, incoming: Incoming, receives: int) -> Begun:
        self._check()
        verdict, attempt = await self.settle.begin(
            incoming.message.uid, self.agent, receives, staged=True
        )
        return Begun(verdict=verdict, attempt=attempt)

    async def report(
        self,
        uid: Uid,
        attempt: int,
        progress: Progress | None,
        started_at: datetime | None = None,
    ) -> bool:
        self._check()
        return await self.settle.report(uid, attempt, progress, started_at)

    async def release(
        self,
        uid: Uid,
        attempt: int,
        *,
        interrupted: bool,
        reason: str,
        cost: Cost | None = None,
    ) -> None:
        self._check()
        await self.settle.release(
            uid, attempt, interrupted=interrupted, reason=reason, cost=cost
        )

    async def finish(self, uid: Uid, attempt: int, stored: Stored) -> bool:
        self._check()
        result = Result(
            image_url=stored.image_url,
            output_url=stored.output_url,
            error=stored.failure,
            cancelled=stored.cancelled,
            started_at=stored.started_at,
            attempt=attempt,
            cost=stored.cost,
        )
        return await self.settle.finish(uid, result)

    async def is_open(self, uid: Uid) -> bool:
        return await self.settle.is_open(uid)

    async def check(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.cut_off:
            raise TransientError("the network is gone")
