from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from consumer_parts import agent
from handler_parts import room, spans
from opentelemetry.metrics import NoOpMeterProvider
from pipeline_parts import beats, gate, plant

from queue_agent.metrics import Metrics
from testkit.aws import aws
from testkit.sample_runtimes import SampleRuntime, sample_runtime

__all__ = ["agent", "aws", "beats", "gate", "plant", "room", "spans"]

# Prompts with these words hang and fail.
TROUBLES = ("--hang-when", "HANG", "--fail-when", "BREAK")


@pytest.fixture(scope="session")
def sdwebui_url() -> Iterator[str]:
    checkpoints = ("--checkpoint", "one.safetensors", "--checkpoint", "two.safetensors")
    with sample_runtime("sdwebui", *TROUBLES, "--seconds-per-image", "0.05", *checkpoints) as (
        url,
        _,
    ):
        yield url


@pytest.fixture(scope="session")
def comfyui_url() -> Iterator[str]:
    with sample_runtime("comfyui", *TROUBLES, "--seconds-per-image", "0.05") as (url, _):
        yield url


@pytest.fixture(scope="session")
def invokeai_url() -> Iterator[str]:
    with sample_runtime("invokeai", *TROUBLES, "--seconds-per-image", "0.02") as (url, _):
        yield url


@pytest.fixture
def own_sdwebui() -> Iterator[SampleRuntime]:
    """A server that the test may kill."""
    with sample_runtime("sdwebui", *TROUBLES) as started:
        yield started


@pytest.fixture
def own_comfyui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SampleRuntime]:
    """A server that the test may kill, which leaves its scratch folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with sample_runtime("comfyui", *TROUBLES) as started:
        yield started


@pytest.fixture
def own_invokeai() -> Iterator[SampleRuntime]:
    """A server that the test may kill."""
    with sample_runtime("invokeai", *TROUBLES) as started:
        yield started


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(NoOpMeterProvider().get_meter("test"))


@pytest.fixture
def growing_sdwebui(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server whose folder of checkpoints the test may fill."""
    (tmp_path / "one.safetensors").touch()
    with sample_runtime("sdwebui", *TROUBLES, "--models-dir", str(tmp_path)) as (url, _):
        yield url, tmp_path
