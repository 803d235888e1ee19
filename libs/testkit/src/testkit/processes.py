"""Runs a service as the process that it is in production, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

START_SECONDS = 120
END_SECONDS = 120
_health_stub: Any = health_pb2_grpc.HealthStub  # untyped for an asynchronous channel


def run_module(
    module: str, *arguments: str, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a module until it ends by itself; it sees no other variables of ours."""
    return subprocess.run(  # noqa: S603  # our own module
        _command(module, *arguments),
        env=_environment(variables),
        capture_output=True,
        text=True,
        timeout=END_SECONDS,
        check=False,
    )


@asynccontextmanager
async def running(
    module: str, address: str, *, variables: Mapping[str, str]
) -> AsyncIterator[subprocess.Popen[str]]:
    """Run a module until the block ends; begins when it serves gRPC at `address`.

    Raises `grpc.aio.AioRpcError` if it does not in time.
    """
    process = _start(module, variables)
    try:
        await _serves(address)
        yield process
    finally:
        process.kill()
        process.communicate()


def terminate(process: subprocess.Popen[str]) -> int:
    """Stop a process; gives its exit status."""
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=END_SECONDS)


def _start(module: str, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # our own module
        _command(module), env=_environment(variables), stderr=subprocess.PIPE, text=True
    )


async def _serves(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        watch = _health_stub(channel).Watch(
            health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=START_SECONDS
        )
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        watch.cancel()


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": path, **variables}
