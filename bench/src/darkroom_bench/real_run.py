"""One run of the benchmark `real`: a server by itself, then the same work through a stack."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import httpx

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_bench.real_servers import SERVERS, SPAN, Picture, Server, span_of
from darkroom_cli.api import Api
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Announce
from darkroom_cli.embedded.programs import Attached
from darkroom_cli.embedded.stack import Options, stack
from darkroom_cli.errors import CommandError

LOOK_SECONDS: Final = 0.5
RUNTIME: Final = "real"
WARM_UP: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured."""

    kind: RuntimeType
    url: str
    picture: Picture
    tasks: int
    patience: float  # seconds for all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How busy the server was with the work that came in one way."""

    name: str
    images: int
    image_seconds: float  # the median
    busy_fraction: float
    p50_ms: float  # idle between two images
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The figures of one run."""

    device: str
    ways: tuple[Way, ...]


def summed_up(name: str, spans: list[SPAN]) -> Way:
    """The figures of the spans in which the server worked, at least three."""
    ordered = sorted(spans)
    gaps = [max(0.0, later[0] - earlier[1]) for earlier, later in pairwise(ordered)]
    cuts = quantiles(gaps, n=100, method="inclusive")
    whole = ordered[-1][1] - ordered[0][0]
    return Way(
        name=name,
        images=len(ordered),
        image_seconds=median(end - start for start, end in ordered),
        busy_fraction=1 - sum(gaps) / whole,
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
    )


async def measure(plan: Plan, folder: Path, announce: Announce) -> Found:
    """The figures of one server, whose address is in the plan; nothing is left in its queue.

    Raises `CommandError` when a task is not completed or anything does not start.
    """
    async with httpx.AsyncClient(base_url=plan.url, trust_env=False, timeout=60) as http:
        server = SERVERS[plan.kind](http)
        device = await server.device()
        announce(f"{device}: warming up")
        await _native(server, plan, WARM_UP)
        announce(f"{plan.tasks} images by its own queue")
        native = summed_up("its own queue", await _native(server, plan, plan.tasks))
        async with _stack(plan, folder, announce) as api:
            announce("warming up the stack")
            await _darkroom(server, plan, api, WARM_UP)
            announce(f"{plan.tasks} images through Darkroom")
            ours = summed_up("Darkroom", await _darkroom(server, plan, api, plan.tasks))
    return Found(device=device, ways=(native, ours))


@asynccontextmanager
async def _stack(plan: Plan, folder: Path, announce: Announce) -> AsyncIterator[Api]:
    attached = Attached(runtime=Runtime(name=RUNTIME, type=plan.kind), url=plan.url)
    options = Options(folder=Folder(folder / "stack"), attached=(attached,))
    # All tasks are submitted at one moment.
    os.environ |= {"INGEST_RATE_PER_SECOND": "1000", "INGEST_BURST": "1000"}
    async with (
        stack(options, announce) as running,
        Api(running.endpoint, running.api_key) as api,
    ):
        yield api


async def _native(server: Server, plan: Plan, images: int) -> list[SPAN]:
    known = await server.spans()
    for _ in range(images):
        await server.queue(await server.graph(plan.picture))
    try:
        async with asyncio.timeout(plan.patience):
            while len(spans := await server.spans()) < len(known) + images:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise CommandError(f"the server did not make {images} images in time") from None
    return [span for name, span in spans.items() if name not in known]


async def _darkroom(server: Server, plan: Plan, api: Api, images: int) -> list[SPAN]:
    graphs = [await server.graph(plan.picture) for _ in range(images)]
    uids = [await _submitted(api, plan, graph) for graph in graphs]
    try:
        async with asyncio.timeout(plan.patience):
            tasks = [await api.finished(uid) for uid in uids]
    except TimeoutError:
        raise CommandError(f"Darkroom did not make {images} images in time") from None
    for task in tasks:
        if task["state"] != "completed":
            raise CommandError(f"task {task['uid']} {task['state']}: {task.get('error')}")
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        return [await _told(api, http, uid) for uid in uids]


async def _told(api: Api, http: httpx.AsyncClient, uid: str) -> SPAN:
    """When the server worked on a task, by what it said at the end."""
    *_, document = await api.links(uid)
    span = span_of((await http.get(document)).json()["status"])
    if span is None:
        raise CommandError(f"the server does not tell when it worked on task {uid}")
    return span


async def _submitted(api: Api, plan: Plan, graph: dict[str, Any]) -> str:
    metadata = {"id": "bench", "runtime": RUNTIME, "tasktype": "pipeline"}
    content = {"prompt": graph} if plan.kind is RuntimeType.COMFYUI else graph
    answer = await api.submit(metadata, content)
    uid: str = answer["uid"]
    return uid
