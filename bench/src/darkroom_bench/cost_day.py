"""A simulated day of two nodes: what tasks and idle time cost, and what the nodes cost."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from contracts.cost import MICROS
from contracts.ids import Prefix, TaskId, Uid, new_uid
from contracts.kinds import TaskType
from contracts.message import TaskMessage
from darkroom_bench.cost_parts import (
    Bucket,
    DirectNotifier,
    NoTopic,
    NoWebhooks,
    Queue,
)
from darkroom_bench.simulated_agent import BUCKET, RUNTIME, now, simulated_agent
from darkroom_bench.virtual_time import VirtualLoop
from deployment.node_prices import node_prices
from ledger.memory import MemoryLedger
from ledger.open_tasks_memory import MemoryOpenTasks
from ledger.record import Record
from notifier.changes import Changes
from notifier.progress_limiter import ProgressLimiter
from notifier.settle import Settle
from queue_agent.domain import Capacity, Node
from queue_agent.pipeline.account import Account, PriceTable, price_of

BOOT: Final = timedelta(minutes=4)  # of a node, until its agent starts
NOTICE: Final = timedelta(minutes=2)  # of Spot
NODE_TYPE: Final = "g5.2xlarge"
HOUR: Final = Decimal(3600)
FAIL: Final = 0.03  # the share of tasks that fail,
CANCEL: Final = 0.06  # with those that are taken back,
CUT: Final = 0.07  # and those whose agent loses its lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A node from its start until it ends, in shares of the day."""

    capacity: Capacity
    start: float
    end: float
    noticed: bool = True  # its agent is told before; else it is cut off


SPANS: Final = (
    Span(capacity="on-demand", start=0, end=1),
    Span(capacity="spot", start=0.1, end=0.35),
    Span(capacity="spot", start=0.4, end=0.7),
    Span(capacity="spot", start=0.75, end=0.95, noticed=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """How much happens."""

    hours: float = 24
    tasks: int = 6000
    seconds: float = 12  # of a task, on average
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Money in micros, from two sides; a task counts by how it has ended."""

    nodes: Decimal  # their hours at their prices
    tasks: Decimal  # as the ledger has it
    idle: Decimal  # as the agents tell, at the same prices
    ends: dict[str, int]
    attempts: int

    @property
    def gap(self) -> Decimal:
        """By what share of the nodes' cost the two sides differ."""
        return abs(self.tasks + self.idle - self.nodes) / self.nodes


def simulate(day: Day) -> Balance:
    """The balance of a day, in which agents run their own pipeline; it takes seconds."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_World(day).live())


class _World:
    def __init__(self, day: Day) -> None:
        self.day = day
        self.chance = random.Random(day.seed)  # noqa: S311  # a simulation
        self.length = timedelta(hours=day.hours)
        self.ledger, self.queue, self.bucket = MemoryLedger(), Queue(), Bucket()
        self.settle = Settle(
            open_tasks=MemoryOpenTasks(),
            ledger=self.ledger,
            topic=NoTopic(),
            webhooks=NoWebhooks(),
            changes=Changes(),
            limiter=ProgressLimiter(timedelta(seconds=1)),
            count=lambda _: None,
            now=now,
        )
        listed = node_prices({})["types"][NODE_TYPE]
        self.prices: PriceTable = {
            NODE_TYPE: {kind: Decimal(str(price)) for kind, price in listed.items()}
        }
        self.idle = Decimal()

    async def live(self) -> Balance:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._submit(group), name="clients")
            for number, span in enumerate(SPANS):
                group.create_task(self._node(span), name=f"node-{number}")
        records = self.ledger.records.values()
        ends: dict[str, int] = {}
        for record in records:
            ends[record.state] = ends.get(record.state, 0) + 1
        return Balance(
            nodes=sum((self._worth(s, self._seconds(s)) for s in SPANS), Decimal()),
            tasks=Decimal(sum(record.cost_micros or 0 for record in records)),
            idle=self.idle,
            ends=ends,
            attempts=sum(record.attempt for record in records),
        )

    def _seconds(self, span: Span) -> float:
        return (span.end - span.start) * self.length.total_seconds()

    def _worth(self, span: Span, seconds: float) -> Decimal:
        return self.prices[NODE_TYPE][span.capacity] * MICROS * Decimal(seconds) / HOUR

    async def _submit(self, group: asyncio.TaskGroup) -> None:
        """Hand tasks in at any time; some fail, some are taken back, some lose their lease."""
        gap = self.length.total_seconds() / self.day.tasks
        for number in range(self.day.tasks):
            await asyncio.sleep(self.chance.expovariate(1 / gap))
            fate, seconds = self.chance.random(), self.chance.expovariate(1 / self.day.seconds)
            task = _task(number, {"seconds": seconds, "fails": fate < FAIL})
            await self.ledger.create(_record(task))
            self.queue.put(task.model_dump_json().encode())
            if FAIL < fate < CANCEL:
                group.create_task(self._cancel(task.uid), name=f"cancel-{number}")
            elif CANCEL < fate < CUT:
                group.create_task(self._cut(task.uid), name=f"cut-{number}")

    async def _cancel(self, uid: Uid) -> None:
        await asyncio.sleep(self.chance.expovariate(1 / self.day.seconds))
        await self.ledger.mark_cancelled(uid)
        await self.settle.settle_cancel(uid)

    async def _cut(self, uid: Uid) -> None:
        await asyncio.sleep(self.day.seconds)
        self.queue.take_away(uid)

    async def _node(self, span: Span) -> None:
        await asyncio.sleep(self.length.total_seconds() * span.start + BOOT.total_seconds())
        node = Node(type=NODE_TYPE, capacity=span.capacity)
        account = Account(
            node,
            price_of(node, self.prices, "USD"),
            up_before=BOOT,
            clock=asyncio.get_running_loop().time,
        )
        notifier, stop = DirectNotifier(self.settle, "agent"), asyncio.Event()
        consumer, handler = simulated_agent(self.queue, self.bucket, notifier, account)
        left = self._seconds(span) - BOOT.total_seconds()
        async with asyncio.TaskGroup() as group:
            work = group.create_task(consumer.consume(handler.handle, stop), name="agent")
            if span.noticed:
                await asyncio.sleep(left - NOTICE.total_seconds())
                stop.set()
                await asyncio.sleep(NOTICE.total_seconds())
            else:
                await asyncio.sleep(left)
            # What was exported last: the rest of a run that is cut off is nobody's.
            self.idle += self._worth(span, account.up_seconds - account.busy_seconds)
            notifier.cut_off = True
            work.cancel()


def _task(number: int, content: dict[str, object]) -> TaskMessage:
    return TaskMessage(
        uid=new_uid(),
        id=TaskId(f"task-{number}"),
        runtime=RUNTIME,
        tasktype=TaskType.TEXT_TO_IMAGE,
        prefix=Prefix("day"),
        bucket=BUCKET,
        accepted_at=now(),
        content=content,
    )


def _record(task: TaskMessage) -> Record:
    return Record(
        uid=task.uid,
        id=task.id,
        tenant="bench",
        runtime=task.runtime,
        tasktype=task.tasktype,
        bucket=task.bucket,
        prefix=task.prefix,
        context_json="{}",
        created_at=task.accepted_at,
    )
