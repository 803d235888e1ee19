"""Clients that submit without a pause, each on a kept connection of its own.

Run as `python -m darkroom_bench.submitters PROTOCOL TARGET KEY CLIENTS SECONDS`; prints
`Submitted` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from statistics import quantiles
from typing import Any, Final

import aiohttp
import grpc

from darkroom.tasks.v1 import tasks_pb2, tasks_pb2_grpc

WARM_UP_SECONDS: Final = 1.0
CONTENT: Final = {"prompt": "a lighthouse at dusk", "steps": 16, "width": 512, "height": 512}
CONTEXT: Final = {"a": 1}
METADATA: Final = {"id": "bench", "runtime": "sdruntime", "tasktype": "text-to-image"}

Submit = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What the clients of one run did together."""

    submissions: int  # all of them, so that CPU time can be divided by it
    a_second: float  # after the warm-up
    p50_ms: float
    p99_ms: float


async def drive(submits: list[Submit], seconds: float) -> Submitted:
    """Let each client submit again as soon as it has its answer; raises what one raises."""
    begin = time.perf_counter() + WARM_UP_SECONDS
    end = begin + seconds
    laps: list[float] = []
    warm_up = 0

    async def one_after_another(submit: Submit) -> None:
        nonlocal warm_up
        while (started := time.perf_counter()) < end:
            await submit()
            if started < begin:
                warm_up += 1
            else:
                laps.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for number, submit in enumerate(submits):
            group.create_task(one_after_another(submit), name=f"client-{number}")
    cuts = quantiles(laps, n=100, method="inclusive")
    return Submitted(
        submissions=warm_up + len(laps),
        a_second=len(laps) / (time.perf_counter() - begin),
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
    )


@asynccontextmanager
async def rest(target: str, key: str, clients: int) -> AsyncIterator[list[Submit]]:
    """Clients of REST; `target` is a URL."""
    task = {"metadata": {**METADATA, "context": CONTEXT}, "content": CONTENT}
    body = json.dumps({"task": task}).encode()
    headers = {"content-type": "application/json", "x-api-key": key}
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def submit() -> None:
            async with session.post(f"{target}/v1alpha2", data=body) as answer:
                text = await answer.read()
                if answer.status != HTTPStatus.OK:
                    raise RuntimeError(f"{answer.status}: {text.decode()}")

        yield [submit] * clients


@asynccontextmanager
async def rpc(target: str, key: str, clients: int) -> AsyncIterator[list[Submit]]:
    """Clients of gRPC; `target` is host:port."""
    request = tasks_pb2.SubmitTaskRequest(
        id=METADATA["id"],
        runtime=METADATA["runtime"],
        tasktype=METADATA["tasktype"],
        content_json=json.dumps(CONTENT),
    )
    request.context.struct_value.update(CONTEXT)
    metadata = (("x-api-key", key),)
    options = [("grpc.use_local_subchannel_pool", 1)]  # else all share one connection
    async with AsyncExitStack() as exits:

        async def client() -> Submit:
            channel = grpc.aio.insecure_channel(target, options=options)
            stub: Any = tasks_pb2_grpc.TaskServiceStub(await exits.enter_async_context(channel))

            async def submit() -> None:
                await stub.SubmitTask(request, metadata=metadata)

            return submit

        yield [await client() for _ in range(clients)]


async def _run(protocol: str, target: str, key: str, clients: str, seconds: str) -> Submitted:
    opened = rest if protocol == "rest" else rpc
    async with opened(target, key, int(clients)) as submits:
        return await drive(submits, float(seconds))


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_run(*sys.argv[1:])))))  # its answer
