"""What happens to a task when a process of its way dies under it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Callbacks, Stack, pipeline, running_stack, text_to_image

from provisioning.resources import subscribe_queue

LEASE_SECONDS = 6


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose runs tests hold still, with a short lease."""
    folder: Path = tmp_path_factory.mktemp("slow")
    with running_stack(folder, extra={"QUEUE_AGENT_LEASE": f"PT{LEASE_SECONDS}S"}) as running:
        yield running


@pytest.fixture(scope="module")
def told(slow: Stack) -> Callbacks:
    url = asyncio.run(subscribe_queue(slow.info["result_topic_arn"], "fault-callbacks"))
    return Callbacks(queue_url=url)


async def assert_one_callback(told: Callbacks, uid: str) -> dict[str, Any]:
    callback = await told.of(uid)
    # A second one would be there after a lease: its sender would have had the message by then.
    end = time.monotonic() + LEASE_SECONDS + 1
    while time.monotonic() < end:
        await told.receive(wait_seconds=1)
    assert len(told.found[uid]) == 1
    return callback


@pytest.mark.parametrize(
    ("runtime", "task"),
    [
        pytest.param("sdruntime", text_to_image("killed-sd"), id="sdwebui"),
        pytest.param("comfyruntime", pipeline("killed-comfy", seed=11), id="comfyui"),
    ],
)
async def test_task_of_a_killed_agent_completes_with_one_callback(
    slow: Stack, told: Callbacks, runtime: str, task: dict[str, Any]
) -> None:
    with slow.held():
        accepted = await slow.submit(**task)
        await slow.until(accepted["uid"], "running")
        slow.agent(runtime).send_signal(signal.SIGKILL)

    callback = await assert_one_callback(told, accepted["uid"])
    assert callback["result"] is True
    assert (await slow.task(accepted["uid"]))["attempt"] == 2


async def test_lost_runtime_hands_the_task_back(slow: Stack, told: Callbacks) -> None:
    port = slow.agent("sdruntime").environ()["QUEUE_AGENT_RUNTIME_URL"].rsplit(":", 1)[1]
    with slow.held():
        accepted = await slow.submit(**text_to_image("lost-runtime"))
        await slow.until(accepted["uid"], "running")
        slow.find("sample_runtime.main", port).send_signal(signal.SIGKILL)

    assert (await assert_one_callback(told, accepted["uid"]))["result"] is True
    assert (await slow.task(accepted["uid"]))["attempt"] == 2


async def test_killed_router_and_notifier_are_restarted_and_nothing_is_lost(
    slow: Stack, told: Callbacks
) -> None:
    with slow.held():
        accepted = await slow.submit(**text_to_image("services-killed"))
        await slow.until(accepted["uid"], "running")
        slow.find("router.main").send_signal(signal.SIGKILL)
        slow.find("notifier.main").send_signal(signal.SIGKILL)

    assert (await told.of(accepted["uid"]))["result"] is True
    assert "router ended with status -9, restarted" in slow.notes.read_text()
    deadline = time.monotonic() + 300
    async with slow.client() as client:
        while True:
            answer = await client.post(
                "/v1alpha2", json={"task": text_to_image("after-restart")}
            )
            if answer.status_code == 200:
                break
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert time.monotonic() < deadline
    assert (await told.of(answer.json()["uid"]))["result"] is True
