"""`darkroom up` with a runtime that is not there yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

from harness import running_stack, text_to_image

from servicekit.listen import free_port
from testkit.sample_runtimes import sample_runtime

SECONDS = 60


async def test_stack_starts_and_tasks_wait_until_the_runtime_is_there(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    with running_stack(tmp_path, "--runtime", f"late=sdwebui@{url}") as stack:
        accepted = await stack.submit(**text_to_image("early", runtime="late"))
        async with asyncio.timeout(SECONDS):
            while f"runtime late at {url}: the runtime does not answer" not in stack.said():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (await stack.task(accepted["uid"]))["state"] == "queued"
        with sample_runtime("sdwebui", "--port", str(port)):
            await stack.until(accepted["uid"], "completed")
        assert f"runtime late at {url}: ready" in stack.said()
