"""One run of the benchmark `gpu_idle`: a full queue, one agent, and a runtime that counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import httpx
from aiohttp import web

from awsio import clients
from awsio.errors import translated
from contracts.ids import Prefix, TaskId, Uid, new_uid
from contracts.kinds import RuntimeType, TaskType
from contracts.message import TaskMessage
from contracts.runtimes import Runtime
from darkroom_bench.latency_proxy import latency_proxy
from darkroom_bench.still_runtime import SIDE, noise
from darkroom_cli.embedded import programs
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Processes, Program, Report
from darkroom_cli.embedded.programs import HOST, Addresses, Attached
from darkroom_cli.errors import CommandError
from ledger.dynamodb import DynamoDbLedger
from ledger.record import Record, State
from provisioning import emulator
from provisioning.resources import Resources, provision
from servicekit.ports import free_port

RUNTIME: Final = "sdruntime"
BATCH: Final = 10  # the most that SQS takes at once
POLL_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 60  # besides the runtime's own work
INPUT_SIDE: Final = 707  # a picture of about 500 KB
IN_PARALLEL: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one run is about."""

    seconds: float  # of an image
    latency_ms: float  # of AWS
    depth: int = 1
    tasks: int = 200
    with_input: bool = False  # one by URL for each task


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """How busy the runtime was from its first image to its last."""

    point: Point
    tasks: int
    busy_fraction: float
    p50_ms: float  # idle between two images
    p99_ms: float


def summed_up(point: Point, spans: Sequence[tuple[float, float]]) -> Idle:
    """Give the figures of the spans in which the runtime worked, at least two."""
    ordered = sorted(spans)
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(ordered)]
    whole = ordered[-1][1] - ordered[0][0]
    cuts = quantiles(gaps, n=100, method="inclusive") if len(gaps) > 1 else gaps * 99
    return Idle(
        point=point,
        tasks=len(ordered),
        busy_fraction=sum(end - start for start, end in ordered) / whole,
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
    )


async def measure_idle(point: Point, folder: Path, report: Report) -> Idle:
    """Give the figures of one run, whose processes keep their state in `folder`.

    Raises `CommandError` when a task is not completed or anything does not start; an `AppError`
    when the emulator fails. Both may come in an exception group.
    """
    stacked = Folder(folder)
    async with AsyncExitStack() as exits:
        port = free_port()
        far = await exits.enter_async_context(latency_proxy(port, point.latency_ms / 1000))
        input_url = await exits.enter_async_context(_input_server())
        processes = Processes(report, exits.enter_context(stacked.locked()))
        exits.push_async_callback(processes.stop)
        await processes.start(programs.emulated_aws(port, stacked))
        aws = {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{HOST}:{port}"}
        os.environ.update(aws)  # this process fills the queue, without the latency
        runtime = Runtime(name=RUNTIME, type=RuntimeType.SDWEBUI)
        attached = Attached(runtime=runtime, url=f"http://{HOST}:{free_port()}")
        resources = await provision("bench", [runtime], region=aws["AWS_REGION"])
        uids = await _fill(resources, point, input_url)
        report(f"{point.tasks} tasks wait; starting the agent")
        aws["AWS_ENDPOINT_URL"] = f"http://{HOST}:{far}"
        notifier, agent = _services(attached, resources, stacked, aws, point.depth)
        await processes.start(_still_runtime(attached, stacked, point.seconds), notifier)
        await processes.start(agent)
        await _emptied(resources, point)
        await _check_completed(resources, uids)
        async with httpx.AsyncClient(trust_env=False) as client:
            spans = (await client.get(f"{attached.url}/spans")).json()
    return summed_up(point, [(start, end) for start, end in spans])


def _services(
    attached: Attached,
    resources: Resources,
    folder: Folder,
    aws: dict[str, str],
    depth: int,
) -> tuple[Program, Program]:
    """Give the notifier and the agent as the embedded mode runs them."""
    addresses = Addresses(
        host=HOST,
        rest=free_port(),
        grpc=free_port(),
        router=free_port(),
        notifier=free_port(),
        model_sync=free_port(),
    )
    listed = programs.services(
        addresses, (attached,), resources, folder, aws, private_inputs=programs.LOOPBACK
    )
    named = {one.name: one for one in listed}
    agent = named[f"queue-agent-{RUNTIME}"]
    environment = {**agent.environment, "QUEUE_AGENT_DEPTH": str(depth)}
    return named["notifier"], replace(agent, environment=environment)


def _still_runtime(attached: Attached, folder: Folder, seconds: float) -> Program:
    return Program(
        name=RUNTIME,
        module="darkroom_bench.still_runtime",
        arguments=(attached.url.rsplit(":", 1)[1], str(seconds)),
        log=folder.log(RUNTIME),
        ready=programs.answering(f"{attached.url}/sdapi/v1/memory"),
    )


@asynccontextmanager
async def _input_server() -> AsyncIterator[str]:
    picture = noise(INPUT_SIDE)

    async def give(_: web.Request) -> web.Response:
        return web.Response(body=picture, content_type="image/png")

    app = web.Application()
    app.router.add_get("/input.png", give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield f"http://{HOST}:{port}/input.png"
    finally:
        await runner.cleanup()


async def _fill(resources: Resources, point: Point, input_url: str) -> list[Uid]:
    """Write the records and the messages as the router would; gives the tasks' uids."""
    messages = [_message(resources, point, number, input_url) for number in range(point.tasks)]
    async with clients.dynamodb() as dynamodb, clients.sqs() as sqs:
        ledger = DynamoDbLedger(client=dynamodb, table=resources.table)
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            async with asyncio.TaskGroup() as group:
                for one in batch:
                    group.create_task(ledger.create(_record(one)), name="create-record")
            entries: list[Any] = [
                {"Id": str(number), "MessageBody": one.model_dump_json(exclude_none=True)}
                for number, one in enumerate(batch)
            ]
            with translated("sqs.send"):
                await sqs.send_message_batch(
                    QueueUrl=resources.queues[RUNTIME], Entries=entries
                )
    return [one.uid for one in messages]


def _message(resources: Resources, point: Point, number: int, input_url: str) -> TaskMessage:
    content: dict[str, Any] = {"prompt": "a lighthouse at dusk", "steps": 20, "width": SIDE}
    tasktype = TaskType.TEXT_TO_IMAGE
    if point.with_input:
        tasktype = TaskType.IMAGE_TO_IMAGE
        content["init_images"] = [input_url]
    return TaskMessage(
        uid=new_uid(),
        id=TaskId(f"bench-{number}"),
        runtime=RUNTIME,
        tasktype=tasktype,
        prefix=Prefix("bench"),
        bucket=resources.output_bucket,
        accepted_at=datetime.now(UTC),
        content=content,
    )


def _record(message: TaskMessage) -> Record:
    return Record(
        uid=message.uid,
        id=message.id,
        tenant="bench",
        runtime=message.runtime,
        tasktype=message.tasktype,
        bucket=message.bucket,
        prefix=message.prefix,
        context_json="{}",
        created_at=message.accepted_at,
    )


async def _emptied(resources: Resources, point: Point) -> None:
    """Wait until the queue holds nothing, seen or hidden."""
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    patience = PATIENCE_SECONDS + 3 * point.tasks * (point.seconds + point.latency_ms / 100)
    try:
        async with asyncio.timeout(patience), clients.sqs() as sqs:
            while True:
                with translated("sqs.attributes"):
                    answer = await sqs.get_queue_attributes(
                        QueueUrl=resources.queues[RUNTIME], AttributeNames=names
                    )
                if not sum(int(answer["Attributes"][name]) for name in names):
                    return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise CommandError(f"the queue was not empty after {patience:g} s") from None


async def _check_completed(resources: Resources, uids: list[Uid]) -> None:
    async with clients.dynamodb() as dynamodb:
        ledger = DynamoDbLedger(client=dynamodb, table=resources.table)
        for uid in uids:
            record = await ledger.get(uid)
            if record is None or record.state is not State.COMPLETED:
                state = f"{record.state}: {record.error}" if record else "not known"
                raise CommandError(f"{uid} is {state}")
