"""Two agents on one queue: what is done to one task leaves the other alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import (
    HOLD_FILE,
    Callbacks,
    Stack,
    environment,
    pipeline,
    running_stack,
    text_to_image,
)

from provisioning.resources import subscribe_queue
from servicekit.listen import free_port

KINDS = {"sdruntime": "sdwebui", "comfyruntime": "comfyui"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a second agent and a second runtime on two of its queues."""
    folder: Path = tmp_path_factory.mktemp("pair")
    started: list[subprocess.Popen[bytes]] = []
    with running_stack(folder, extra={"QUEUE_AGENT_DEPTH": "0"}) as stack:
        try:
            for runtime, kind in KINDS.items():
                started += second_agent(stack, runtime, kind)
            yield stack
        finally:
            for process in started:
                process.terminate()
                process.wait(timeout=120)


def second_agent(stack: Stack, runtime: str, kind: str) -> list[subprocess.Popen[bytes]]:
    port = free_port()
    first = stack.agent(runtime).environ()
    extra = {
        **{name: value for name, value in first.items() if name.startswith(("QUEUE_", "AWS_"))},
        "QUEUE_AGENT_AGENT_NAME": "second",
        "QUEUE_AGENT_OPS_PORT": str(free_port()),
        "QUEUE_AGENT_RUNTIME_URL": f"http://127.0.0.1:{port}",
    }
    sample = ["sample_runtime.main", "--type", kind, "--port", str(port)]
    sample += ["--hold-file", str(stack.folder / HOLD_FILE)]
    return [
        subprocess.Popen(
            [sys.executable, "-m", *module],
            env=environment(extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for module in (sample, ["queue_agent.main"])
    ]


@pytest.mark.parametrize(
    "tasks",
    [
        pytest.param([text_to_image(f"pair-{n}", steps=20) for n in (1, 2)], id="sdwebui"),
        pytest.param([pipeline(f"pair-comfy-{n}", seed=n) for n in (31, 32)], id="comfyui"),
    ],
)
async def test_cancelled_task_stops_and_the_other_one_completes(
    pair: Stack, tasks: list[dict[str, Any]]
) -> None:
    url = await subscribe_queue(pair.info["result_topic_arn"], "pair-callbacks")
    told = Callbacks(queue_url=url)
    with pair.held():
        accepted = [await pair.submit(**task) for task in tasks]
        for each in accepted:
            await pair.until(each["uid"], "running")

        async with pair.client() as client:
            answer = await client.delete(f"/v1/tasks/{accepted[0]['uid']}")
        assert answer.status_code == 200, answer.text

        assert (await told.of(accepted[0]["uid"]))["status"] == "cancelled"
    assert (await told.of(accepted[1]["uid"]))["status"] == "completed"
    assert (await pair.task(accepted[1]["uid"]))["attempt"] == 1
