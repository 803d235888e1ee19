from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from handling_room import room, spans
from opentelemetry.metrics import NoOpMeterProvider

from queue_agent.measures import Measures
from testkit.aws import aws

__all__ = ["aws", "room", "spans"]

Process = tuple[str, subprocess.Popen[str]]


@contextmanager
def _sample_runtime(kind: str, *arguments: str) -> Iterator[Process]:
    command = [sys.executable, "-m", "sample_runtime.main", "--type", kind, "--port", "0"]
    process = subprocess.Popen(  # our own command
        [*command, "--hang-when", "HANG", "--fail-when", "BREAK", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().rsplit(" ", 1)[-1].strip()
        assert url.startswith("http://"), "the sample runtime did not start"
        yield url, process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def sdwebui_url() -> Iterator[str]:
    checkpoints = ("--checkpoint", "one.safetensors", "--checkpoint", "two.safetensors")
    with _sample_runtime("sdwebui", "--seconds-per-image", "0.05", *checkpoints) as (url, _):
        yield url


@pytest.fixture(scope="session")
def comfyui_url() -> Iterator[str]:
    with _sample_runtime("comfyui", "--seconds-per-image", "0.05") as (url, _):
        yield url


@pytest.fixture(scope="session")
def invokeai_url() -> Iterator[str]:
    with _sample_runtime("invokeai", "--seconds-per-image", "0.02") as (url, _):
        yield url


@pytest.fixture
def own_sdwebui() -> Iterator[Process]:
    """A server that the test may kill."""
    with _sample_runtime("sdwebui") as started:
        yield started


@pytest.fixture
def own_comfyui() -> Iterator[Process]:
    """A server that the test may kill."""
    with _sample_runtime("comfyui") as started:
        yield started


@pytest.fixture
def own_invokeai() -> Iterator[Process]:
    """A server that the test may kill."""
    with _sample_runtime("invokeai") as started:
        yield started


@pytest.fixture
def measures() -> Measures:
    return Measures(NoOpMeterProvider().get_meter("test"))


@pytest.fixture
def growing_sdwebui(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server whose folder of checkpoints the test may fill."""
    (tmp_path / "one.safetensors").touch()
    with _sample_runtime("sdwebui", "--models-dir", str(tmp_path)) as (url, _):
        yield url, tmp_path
