"""One queue agent with all that it needs: emulator, notifier, a runtime that costs no CPU."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from awsio import clients
from awsio.errors import translated
from contracts.ids import Prefix, TaskId, Uid, new_uid
from contracts.kinds import RuntimeType, TaskType
from contracts.message import TaskMessage
from contracts.runtimes import Runtime
from contracts.state import TaskState
from darkroom_bench.latency_proxy import latency_proxy
from darkroom_bench.still_runtime import SIDE, noise
from darkroom_cli.embedded import programs
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Announce, Processes, Program
from darkroom_cli.embedded.programs import HOST, Addresses, Attached
from darkroom_cli.errors import CommandError
from ledger.dynamodb import DynamoDbLedger
from ledger.record import Record
from provisioning import emulator
from provisioning.resources import Resources, provision
from servicekit.listen import free_port

RUNTIME: Final = "sdruntime"
BATCH: Final = 10  # the most that SQS takes at once
POLL_SECONDS: Final = 0.5
PREFIX: Final = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What tasks are to do: so many images of `side` pixels, each made of an input if given."""

    tasks: int
    side: int = SIDE
    input_url: str = ""  # SD WebUI takes it only


@dataclass(frozen=True, slots=True, kw_only=True)
class OneAgent:
    """A stack whose runtime, notifier and agent are started by `start`."""

    attached: Attached
    resources: Resources
    folder: Folder
    processes: Processes
    aws: dict[str, str]  # of the notifier and the agent

    async def start(self, *, seconds: float, depth: int = 1) -> None:
        """Start what works; each image takes `seconds`."""
        notifier, agent = self._services(depth)
        await self.processes.start(self._runtime(seconds), notifier)
        await self.processes.start(agent)

    @property
    def agent_pid(self) -> int:
        """The process of the agent."""
        return self.processes.pid(_AGENT)

    async def fill(self, work: Work) -> list[Uid]:
        """Write the records and the messages as the router would; gives the tasks' uids."""
        kind = self.attached.runtime.type
        messages = [
            _message(self.resources, kind, work, number) for number in range(work.tasks)
        ]
        async with clients.dynamodb() as dynamodb, clients.sqs() as sqs:
            ledger = DynamoDbLedger(client=dynamodb, table=self.resources.table)
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
                        QueueUrl=self.resources.queues[RUNTIME], Entries=entries
                    )
        return [one.uid for one in messages]

    async def emptied(self, patience: float) -> None:
        """Wait until the queue holds nothing, seen or hidden; raises `CommandError`."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        try:
            async with asyncio.timeout(patience), clients.sqs() as sqs:
                while True:
                    with translated("sqs.attributes"):
                        answer = await sqs.get_queue_attributes(
                            QueueUrl=self.resources.queues[RUNTIME], AttributeNames=names
                        )
                    if not sum(int(answer["Attributes"][name]) for name in names):
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise CommandError(f"the queue was not empty after {patience:g} s") from None

    async def check_completed(self, uids: Iterable[Uid]) -> None:
        """Return if each task has its result; raises `CommandError`."""
        async with clients.dynamodb() as dynamodb:
            ledger = DynamoDbLedger(client=dynamodb, table=self.resources.table)
            for uid in uids:
                record = await ledger.get(uid)
                if record is None or record.state is not TaskState.COMPLETED:
                    raise CommandError(f"{uid} is {record.state if record else 'not known'}")

    def _services(self, depth: int) -> tuple[Program, Program]:
        """The notifier and the agent as the embedded mode runs them."""
        addresses = Addresses(
            host=HOST,
            rest=free_port(),
            grpc=free_port(),
            router=free_port(),
            notifier=free_port(),
            model_sync=free_port(),
            agents={self.attached.runtime.name: free_port()},
        )
        listed = programs.services(
            addresses,
            (self.attached,),
            self.resources,
            self.folder,
            self.aws,
            private_hosts=programs.LOOPBACK,
        )
        named = {one.name: one for one in listed}
        agent = named[_AGENT]
        environment = {**agent.environment, "QUEUE_AGENT_DEPTH": str(depth)}
        return named["notifier"], replace(agent, environment=environment)

    def _runtime(self, seconds: float) -> Program:
        return Program(
            name=RUNTIME,
            module="darkroom_bench.still_runtime",
            arguments=(
                self.attached.runtime.type,
                self.attached.url.rsplit(":", 1)[1],
                str(seconds),
            ),
            log=self.folder.log(RUNTIME),
            unready=programs.answering(f"{self.attached.url}/spans"),
        )


_AGENT: Final = f"queue-agent-{RUNTIME}"


@asynccontextmanager
async def one_agent(
    folder: Path,
    announce: Announce,
    *,
    latency_ms: float = 0,
    kind: RuntimeType = RuntimeType.SDWEBUI,
) -> AsyncIterator[OneAgent]:
    """A stack with an empty queue, whose processes keep their state in `folder`.

    Raises `CommandError` when anything does not start, an `AppError` when the emulator fails.
    """
    stacked = Folder(folder)
    async with AsyncExitStack() as exits:
        port = free_port()
        far = await exits.enter_async_context(latency_proxy(port, latency_ms / 1000))
        processes = Processes(announce, exits.enter_context(stacked.locked()))
        exits.push_async_callback(processes.stop)
        await processes.start(programs.emulated_aws(port, stacked))
        aws = {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{HOST}:{port}"}
        os.environ.update(aws)  # this process fills the queue, without the latency
        runtime = Runtime(name=RUNTIME, type=kind)
        yield OneAgent(
            attached=Attached(runtime=runtime, url=f"http://{HOST}:{free_port()}"),
            resources=await provision("bench", [runtime], region=aws["AWS_REGION"]),
            folder=stacked,
            processes=processes,
            aws={**aws, "AWS_ENDPOINT_URL": f"http://{HOST}:{far}"},
        )


@asynccontextmanager
async def input_server(side: int) -> AsyncIterator[str]:
    """The URL of a picture."""
    picture = noise(side)

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


_GRAPHS: Final[dict[RuntimeType, dict[str, Any]]] = {
    RuntimeType.COMFYUI: {"1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}},
    RuntimeType.INVOKEAI: {"nodes": {"1": {"id": "1", "type": "blank_image"}}, "edges": []},
}


def _message(resources: Resources, kind: RuntimeType, work: Work, number: int) -> TaskMessage:
    content: dict[str, Any] = {"prompt": "a lighthouse at dusk", "steps": 20}
    content["width"] = work.side
    tasktype = TaskType.TEXT_TO_IMAGE
    if kind in _GRAPHS:
        tasktype, content = TaskType.PIPELINE, _GRAPHS[kind]
    elif work.input_url:
        tasktype = TaskType.IMAGE_TO_IMAGE
        content["init_images"] = [work.input_url]
    return TaskMessage(
        uid=new_uid(),
        id=TaskId(f"bench-{number}"),
        runtime=RUNTIME,
        tasktype=tasktype,
        prefix=Prefix(PREFIX),
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
