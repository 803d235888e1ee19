"""One tenant with a thousand queued tasks, and how long another's single task waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Final

from contracts.ids import Prefix, TaskId, Uid, new_uid
from contracts.kinds import TaskType
from contracts.message import TaskMessage
from darkroom_bench.cost_parts import Bucket, DirectNotifier, NoTopic, NoWebhooks, Queue
from darkroom_bench.fair_queue import FairQueue
from darkroom_bench.simulated_agent import BUCKET, RUNTIME, now, simulated_agent
from darkroom_bench.virtual_time import VirtualLoop
from ledger.memory import MemoryLedger
from ledger.open_tasks_memory import MemoryOpenTasks
from ledger.record import Record
from notifier.changes import Changes
from notifier.progress_limiter import ProgressLimiter
from notifier.settle import Settle
from queue_agent.pipeline.account import Account

NOISY, QUIET = "noisy", "quiet"
ARRIVALS: Final = 40  # moments at which the single task comes, over two images


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who works on what."""

    agents: int
    fair: bool = True
    queued: int = 1000
    seconds: float = 10  # of an image


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How much later the single task ended than it would have with nobody else, in images."""

    crowd: Crowd
    p50: float
    longest: float


def measure(crowd: Crowd) -> Waits:
    """The waits of a single task that comes at different moments; it takes seconds.

    Only the last moment is tried in a queue that is not fair: its wait is that of the queue.
    """
    moments = [2 * crowd.seconds * number / ARRIVALS for number in range(ARRIVALS)]
    waits = [_wait(crowd, moment) for moment in (moments if crowd.fair else moments[-1:])]
    return Waits(crowd=crowd, p50=median(waits), longest=max(waits))


def _wait(crowd: Crowd, moment: float) -> float:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_one(crowd, moment)) / crowd.seconds - 1


async def _one(crowd: Crowd, moment: float) -> float:
    """The seconds from the submission of the single task until it has ended."""
    queue, ledger, bucket = FairQueue() if crowd.fair else Queue(), MemoryLedger(), Bucket()
    settle = Settle(
        open_tasks=MemoryOpenTasks(),
        ledger=ledger,
        topic=NoTopic(),
        webhooks=NoWebhooks(),
        changes=Changes(),
        limiter=ProgressLimiter(timedelta(seconds=1)),
        count=lambda _: None,
        now=now,
    )

    async def submit(tenant: str) -> Uid:
        task = _task(tenant, crowd.seconds)
        await ledger.create(_record(task, tenant))
        queue.put(task.model_dump_json().encode())
        return task.uid

    for _ in range(crowd.queued):
        await submit(NOISY)
    async with asyncio.TaskGroup() as group:
        working = []
        for number in range(crowd.agents):
            account = Account(clock=asyncio.get_running_loop().time)
            notifier = DirectNotifier(settle, f"agent-{number}")
            consumer, handler = simulated_agent(queue, bucket, notifier, account)
            consumed = consumer.consume(handler.handle, asyncio.Event())
            working.append(group.create_task(consumed, name=f"agent-{number}"))
        await asyncio.sleep(moment)
        uid, began = await submit(QUIET), now()
        while not (record := ledger.records[uid]).finished_at:  # noqa: ASYNC110  # no time passes
            await asyncio.sleep(crowd.seconds / 100)
        for each in working:
            each.cancel()
    return (record.finished_at - began).total_seconds()


def _task(tenant: str, seconds: float) -> TaskMessage:
    return TaskMessage(
        uid=new_uid(),
        id=TaskId("fairness"),
        runtime=RUNTIME,
        tasktype=TaskType.TEXT_TO_IMAGE,
        prefix=Prefix("fairness"),
        bucket=BUCKET,
        accepted_at=now(),
        content={"seconds": seconds, "fails": False, "tenant": tenant},
    )


def _record(task: TaskMessage, tenant: str) -> Record:
    return Record(
        uid=task.uid,
        id=task.id,
        tenant=tenant,
        runtime=task.runtime,
        tasktype=task.tasktype,
        bucket=task.bucket,
        prefix=task.prefix,
        context_json="{}",
        created_at=task.accepted_at,
    )
