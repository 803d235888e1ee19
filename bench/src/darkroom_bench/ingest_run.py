"""One run of the benchmark `ingest`: ingest alone on a core, everything else on another."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import psutil

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime, RuntimesFile
from darkroom_bench.submitters import Submitted
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Announce, Processes, Program
from darkroom_cli.embedded.programs import HOST, answering
from darkroom_cli.errors import CommandError
from provisioning.emulator import CREDENTIALS
from servicekit.listen import free_port

PROTOCOLS: Final = ("rest", "grpc")
CORES: Final = 2


class RouterKind(StrEnum):
    """What stands behind ingest."""

    REAL = "real"  # before an AWS that answers at once
    STUB = "stub"  # answers at once itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does."""

    clients: tuple[int, ...]
    seconds: float  # of each level, besides the warm-up
    router: RouterKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The figures of one protocol with one number of clients."""

    router: RouterKind
    protocol: str
    clients: int
    submitted: Submitted
    ingest_ms: float  # CPU a submission
    router_ms: float  # CPU a submission
    ingest_busy: float  # of its core
    rest_busy: float  # of the other core: all of this run but ingest
    foreign_busy: float  # of both cores: what is not of this run


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    rest: str
    grpc: str
    key: str


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let what is started within the block run on one core, with each of its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores() -> tuple[int, int]:
    """The core of ingest and that of the others; raises `CommandError`."""
    found = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(found) < CORES:
        raise CommandError("needs Linux and two cores")
    return found[0], found[1]


async def measure(plan: Plan, folder: Path, announce: Announce) -> list[Level]:
    """The figures of each protocol and level.

    Raises `CommandError` when a submission is refused or anything does not start.
    """
    levels = []
    async with _running(plan.router, folder, announce) as (processes, targets):
        for protocol in PROTOCOLS:
            for clients in plan.clients:
                announce(f"{plan.router} router, {protocol}, {clients} clients")
                level = await _level(plan, processes, targets, protocol, clients)
                levels.append(level)
    return levels


async def _level(
    plan: Plan, processes: Processes, targets: _Targets, protocol: str, clients: int
) -> Level:
    ingest, router = (psutil.Process(processes.pid(name)) for name in ("ingest", "router"))
    aws = psutil.Process(processes.pid("aws"))

    def used() -> tuple[float, ...]:
        return (_cpu(ingest), _cpu(router), _cpu(aws), _busy_seconds())

    before, started = used(), time.perf_counter()
    submitted, own = await _submitted(plan.seconds, targets, protocol, clients)
    wall = time.perf_counter() - started
    by_ingest, by_router, by_aws, by_all = (
        late - early for early, late in zip(before, used(), strict=True)
    )
    others = by_router + by_aws + own
    return Level(
        router=plan.router,
        protocol=protocol,
        clients=clients,
        submitted=submitted,
        ingest_ms=by_ingest * 1000 / submitted.submissions,
        router_ms=by_router * 1000 / submitted.submissions,
        ingest_busy=by_ingest / wall,
        rest_busy=others / wall,
        foreign_busy=max(0.0, by_all - by_ingest - others) / (wall * CORES),
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _busy_seconds() -> float:
    """How long the two cores have worked, for whomever."""
    each = psutil.cpu_times(percpu=True)
    return sum(sum(each[core]) - each[core].idle - each[core].iowait for core in cores())


async def _submitted(
    seconds: float, targets: _Targets, protocol: str, clients: int
) -> tuple[Submitted, float]:
    """What the clients did and the CPU seconds that they took."""
    target = targets.rest if protocol == "rest" else targets.grpc
    given = (protocol, target, targets.key, str(clients), str(seconds))
    before = os.times()
    with on_core(cores()[1]):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "darkroom_bench.submitters", *given),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    try:
        told, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CommandError(errors.decode().strip().rsplit("\n", 1)[-1])
    after = os.times()
    own = after.children_user + after.children_system
    own -= before.children_user + before.children_system
    return Submitted(**json.loads(told)), own


@asynccontextmanager
async def _running(
    kind: RouterKind, path: Path, announce: Announce
) -> AsyncIterator[tuple[Processes, _Targets]]:
    folder = Folder(path)
    with folder.locked() as lock:
        processes = Processes(announce, lock)
        key = secrets.token_urlsafe(24)
        aws, router, rest, grpc = (free_port() for _ in range(4))
        own, others = cores()
        try:
            with on_core(others):
                await processes.start(
                    _stub("aws", "instant_aws", aws, folder),
                    _stub("router", "instant_router", router, folder)
                    if kind is RouterKind.STUB
                    else _router(router, aws, folder),
                )
            with on_core(own):
                await processes.start(_ingest(rest, grpc, router, key, folder))
            yield (
                processes,
                _Targets(rest=f"http://{HOST}:{rest}", grpc=f"{HOST}:{grpc}", key=key),
            )
        finally:
            await processes.stop()


def _stub(name: str, module: str, port: int, folder: Folder) -> Program:
    return Program(
        name=name,
        module=f"darkroom_bench.{module}",
        arguments=(str(port),),
        log=folder.log(name),
        unready=_listening(port),
    )


def _listening(port: int) -> Callable[[], Awaitable[str | None]]:
    async def unready() -> str | None:
        with socket.socket() as probe:
            return "does not listen" if probe.connect_ex((HOST, port)) else None

    return unready


def _router(port: int, aws: int, folder: Folder) -> Program:
    runtimes = RuntimesFile(runtimes=(Runtime(name="sdruntime", type=RuntimeType.SDWEBUI),))
    folder.runtimes_file.write_text(runtimes.model_dump_json())
    ops = free_port()
    environment = {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": f"http://{HOST}:{aws}",
        "ROUTER_OPS_PORT": str(ops),
        "ROUTER_GRPC_PORT": str(port),
        "ROUTER_RUNTIMES_FILE": str(folder.runtimes_file),
        "ROUTER_TASK_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:tasks",
        "ROUTER_TABLE": "tasks",
        "ROUTER_OUTPUT_BUCKET": "output",
        "ROUTER_CLAIM_BUCKET": "claims",
        "ROUTER_MODEL_SYNC_TARGET": f"{HOST}:1",  # a submission asks neither
        "ROUTER_NOTIFIER_TARGET": f"{HOST}:1",
    }
    return _service("router", "router.main", environment, ops, folder)


def _ingest(rest: int, grpc: int, router: int, key: str, folder: Folder) -> Program:
    digest = hashlib.sha256(key.encode()).hexdigest()
    keys = {"keys": [{"name": "bench", "tenant": "bench", "sha256": digest}]}
    folder.api_keys_file.write_text(json.dumps(keys))
    environment = {
        "INGEST_HOST": HOST,
        "INGEST_HTTP_PORT": str(rest),
        "INGEST_GRPC_PORT": str(grpc),
        "INGEST_API_KEYS_FILE": str(folder.api_keys_file),
        "INGEST_ROUTER_TARGET": f"{HOST}:{router}",
        "INGEST_MODEL_SYNC_TARGET": f"{HOST}:1",
        "INGEST_NOTIFIER_TARGET": f"{HOST}:1",
        # So that the throttle is not what is measured.
        "INGEST_RATE_PER_SECOND": "1000000",
        "INGEST_BURST": "1000000",
    }
    return _service("ingest", "ingest.main", environment, rest, folder)


def _service(
    name: str, module: str, environment: dict[str, str], ops: int, folder: Folder
) -> Program:
    return Program(
        name=name,
        module=module,
        environment=environment,
        log=folder.log(name),
        unready=answering(f"http://{HOST}:{ops}/readyz"),
    )
