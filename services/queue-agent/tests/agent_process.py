"""The agent as a process, its notifier, and what both have done."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import grpc

from awsio import clients
from contracts.message import TaskMessage
from darkroom.notifier.v1 import notifier_pb2 as pb
from darkroom.notifier.v1.notifier_pb2_grpc import (
    NotifierServiceServicer,
    add_NotifierServiceServicer_to_server,
)
from provisioning.resources import Resources
from servicekit.listen import free_port

SOON = 60  # seconds; half a lease, after which a message comes back by itself
REQUIRED = {
    "queue_url": "http://queue",
    "output_bucket": "out",
    "claim_bucket": "claims",
    "notifier_target": "notifier:50051",
    "runtime_name": "sdruntime",
    "runtime_type": "sdwebui",
    "runtime_url": "http://127.0.0.1:7860",
}


class Servicer(NotifierServiceServicer):
    """Lets everything proceed and keeps the ends."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[pb.FinishTaskRequest] = asyncio.Queue()
        self.released: list[pb.ReleaseAttemptRequest] = []
        self.begun: list[str] = []

    async def BeginAttempt(  # noqa: N802  # the protocol's name
        self, request: pb.BeginAttemptRequest, context: object
    ) -> pb.BeginAttemptResponse:
        self.begun.append(request.agent)
        return pb.BeginAttemptResponse(verdict=pb.VERDICT_PROCEED, attempt=len(self.begun))

    async def ReportProgress(  # noqa: N802  # the protocol's name
        self, request: pb.ReportProgressRequest, context: object
    ) -> pb.ReportProgressResponse:
        return pb.ReportProgressResponse()

    async def ReleaseAttempt(  # noqa: N802  # the protocol's name
        self, request: pb.ReleaseAttemptRequest, context: object
    ) -> pb.ReleaseAttemptResponse:
        self.released.append(request)
        return pb.ReleaseAttemptResponse()

    async def FinishTask(  # noqa: N802  # the protocol's name
        self, request: pb.FinishTaskRequest, context: object
    ) -> pb.FinishTaskResponse:
        await self.ends.put(request)
        return pb.FinishTaskResponse(committed=True)

    async def CheckTask(  # noqa: N802  # the protocol's name
        self, request: pb.CheckTaskRequest, context: object
    ) -> pb.CheckTaskResponse:
        raise NotImplementedError

    async def SettleCancel(  # noqa: N802  # the protocol's name
        self, request: pb.SettleCancelRequest, context: object
    ) -> pb.SettleCancelResponse:
        raise NotImplementedError

    def WatchTask(  # noqa: N802  # the protocol's name
        self, request: pb.WatchTaskRequest, context: object
    ) -> AsyncIterator[pb.WatchTaskResponse]:
        raise NotImplementedError


@asynccontextmanager
async def notifier(servicer: Servicer) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_NotifierServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@asynccontextmanager
async def agent(**settings: object) -> AsyncIterator[asyncio.subprocess.Process]:
    values = {
        **REQUIRED,
        "ops_port": free_port(),
        "receive_wait": 1,
        "drain": 1,
        "runtime_poll": 0.1,
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "queue_agent.main",
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            **{f"QUEUE_AGENT_{name}".upper(): str(value) for name, value in values.items()},
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def send(made: Resources, sent: TaskMessage) -> None:
    async with clients.sqs() as sqs:
        body = sent.model_dump_json()
        await sqs.send_message(QueueUrl=made.queues["sdruntime"], MessageBody=body)


async def logs(process: asyncio.subprocess.Process, message: str) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(120):
        while json.loads(await process.stderr.readline())["message"] != message:
            pass


async def left(made: Resources) -> list[str]:
    async with clients.sqs() as sqs:
        found = await sqs.receive_message(QueueUrl=made.queues["sdruntime"])
        return [one["Body"] for one in found.get("Messages", [])]


async def ready(port: int) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(120):
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not claim():  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.01)


async def asked(url: str, status: int) -> dict[str, str]:
    """What a URL says when it answers with a status, which is waited for."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(SOON):
        while True:
            async with session.get(url) as answer:
                if answer.status == status:
                    said: dict[str, str] = await answer.json()
                    return said
            await asyncio.sleep(0.05)


async def busy(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(f"{url}/sdapi/v1/progress") as answer:
        return bool((await answer.json())["state"]["job"])
