"""A runtime works for others, too: what that means for a task behind them."""

from __future__ import annotations

import asyncio

import httpx
from harness import Callbacks, Stack, pipeline

LIMIT_SECONDS = 10  # much more than a picture takes on a busy machine


async def test_clock_of_a_task_stands_until_the_runtime_begins_with_it(
    stack: Stack, callbacks: Callbacks
) -> None:
    """What others ask of the runtime costs a task nothing of its limit (E3)."""
    task = pipeline("behind", seed=52)
    task["metadata"]["timeout_seconds"] = LIMIT_SECONDS
    url = stack.agent("comfyruntime").environ()["QUEUE_AGENT_RUNTIME_URL"]

    async with httpx.AsyncClient(base_url=url, trust_env=False) as runtime:
        with stack.held():
            await runtime.post("/prompt", json=pipeline("foreign", seed=51)["content"])
            accepted = await stack.submit(**task)
            async with asyncio.timeout(60):
                while not (await runtime.get("/queue")).json()["queue_pending"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1.2 * LIMIT_SECONDS)  # the limit passes
            assert (await stack.task(accepted["uid"]))["state"] == "queued"

    callback = await callbacks.of(accepted["uid"])
    assert callback["result"] is True, callback
