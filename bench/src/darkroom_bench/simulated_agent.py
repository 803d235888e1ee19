"""A queue agent of a simulation: its own pipeline, with stand-ins for all that is outside."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.metrics import NoOpMeterProvider

from darkroom_bench.cost_parts import LEASE, Bucket, DirectNotifier, Queue, StillRuntime
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.find import find_in_body
from queue_agent.metrics import Metrics
from queue_agent.pipeline.account import Account
from queue_agent.pipeline.consumer import Consumer
from queue_agent.pipeline.readiness import Readiness
from queue_agent.pipeline.slots import Slots
from queue_agent.task.handler import Handler
from queue_agent.task.incoming import MessageReader
from queue_agent.task.out_document import SdWebuiOut
from queue_agent.task.prepare import Preparer
from queue_agent.task.results import ResultPublisher
from queue_agent.task.run import Runner
from queue_agent.task.run_limits import RunLimits
from servicekit.health import Health

MIDNIGHT: Final = datetime(2026, 1, 1, tzinfo=UTC)
RUNTIME: Final = "sdruntime"
BUCKET: Final = "output"
DRAIN: Final = timedelta(seconds=90)


def now() -> datetime:
    """The present moment of a simulation, which began at midnight."""
    return MIDNIGHT + timedelta(seconds=asyncio.get_running_loop().time())


def simulated_agent(
    queue: Queue, bucket: Bucket, notifier: DirectNotifier, account: Account
) -> tuple[Consumer, Handler]:
    """An agent that stages one task while another runs, as by default."""
    metrics = Metrics(NoOpMeterProvider().get_meter("bench"))
    runtime, second = StillRuntime(), timedelta(seconds=1)
    readiness = Readiness(runtime=runtime, health=Health(), poll=second)
    consumer = Consumer(
        source=queue,
        notifier=notifier,
        readiness=readiness,
        metrics=metrics,
        slots=Slots(depth=1),
        lease=LEASE,
        drain=DRAIN,
        account=account,
    )
    hour = timedelta(hours=1)
    handler = Handler(
        reader=MessageReader(runtime_name=RUNTIME, bucket=BUCKET),
        notifier=notifier,
        preparer=Preparer(
            claims=bucket,
            fetcher=Fetcher(
                readers={}, limits=InputLimits(count=0, bytes_each={}, bytes_total=0)
            ),
            find_inputs=find_in_body,
            runtime=runtime,
            metrics=metrics,
        ),
        runner=Runner(
            runtime=runtime,
            out=SdWebuiOut(),
            limits=RunLimits(floor=hour, cap=hour, per_megapixel_step=timedelta()),
        ),
        publisher=ResultPublisher(
            store=bucket, notifier=notifier, metrics=metrics, budget=DRAIN
        ),
        metrics=metrics,
        clean_up=lambda _: None,
        now=now,
    )
    return consumer, handler
