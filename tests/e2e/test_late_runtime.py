"""`darkroom up` with a runtime that is not there yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

from harness import Stack, running_stack, text_to_image

from servicekit.listen import free_port
from testkit.sample_runtimes import sample_runtime

SECONDS = 300  # a guard


async def test_stack_starts_and_tasks_wait_until_the_runtime_is_there(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    with running_stack(tmp_path, "--runtime", f"late=sdwebui@{url}") as stack:
        accepted = await stack.submit(**text_to_image("early", runtime="late"))
        await until_said(stack, f"runtime late at {url}: the runtime does not answer")
        assert (await stack.task(accepted["uid"]))["state"] == "queued"
        with sample_runtime("sdwebui", "--port", str(port)):
            await stack.until(accepted["uid"], "completed")
            await until_said(stack, f"runtime late at {url}: ready")


async def until_said(stack: Stack, sentence: str) -> None:
    """Wait until `darkroom up` has said it, which looks at its processes now and then."""
    async with asyncio.timeout(SECONDS):
        while sentence not in stack.said():  # noqa: ASYNC110  # it writes to a file
            await asyncio.sleep(0.1)
