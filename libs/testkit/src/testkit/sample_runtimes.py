"""Runs the sample runtime as a process, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

END_SECONDS = 60

SampleRuntime = tuple[str, subprocess.Popen[str]]


@contextmanager
def sample_runtime(kind: str, *arguments: str) -> Iterator[SampleRuntime]:
    """The address and the process of a runtime that listens; it ends with the block.

    `kind` is one of `sdwebui`, `comfyui` and `invokeai`; `arguments` are further options of the
    command. The test may end the process itself.
    """
    command = [sys.executable, "-m", "sample_runtime.main", "--type", kind, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(  # noqa: S603  # our own module
        command, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _address(process), process
        finally:
            _end(process)


def _address(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    _, greeted, url = line.strip().partition("listens on ")
    if not greeted:
        raise RuntimeError("the sample runtime did not start")
    return url


def _end(process: subprocess.Popen[str]) -> None:
    # Told first, not killed: it has a scratch folder to remove.
    process.terminate()
    try:
        process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
