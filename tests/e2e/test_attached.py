"""`darkroom up` with an AWS and a runtime that run already."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import environment, running_stack, text_to_image

from provisioning.emulator import free_port
from testkit.aws import start, wait_for


@pytest.fixture
def own_aws(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    process = start(port, tmp_path)
    wait_for(f"http://127.0.0.1:{port}", process)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture
def own_runtime() -> Iterator[str]:
    command = [sys.executable, "-m", "sample_runtime.main", "--type", "sdwebui", "--port", "0"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


async def test_task_runs_on_the_users_own_runtime_and_aws(
    own_aws: str, own_runtime: str, tmp_path: Path
) -> None:
    arguments = (
        "--runtime",
        f"Mine=sdwebui@{own_runtime},dynamic",
        "--aws-endpoint-url",
        own_aws,
    )

    with running_stack(tmp_path / "up", *arguments) as stack:
        assert stack.info["aws_endpoint_url"] == own_aws
        assert list(stack.info["queues"]) == ["mine"]
        accepted = await stack.submit(**text_to_image("attached", runtime="MINE"))
        task = await stack.until(accepted["uid"], "completed")
        image, _ = await stack.object(task["image_url"][0])

    assert image.startswith(b"\x89PNG")
