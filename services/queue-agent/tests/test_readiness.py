from __future__ import annotations

import asyncio
from datetime import timedelta

from queue_agent_fakes import FakeRuntime

from queue_agent.pipeline.readiness import Readiness
from servicekit.health import Health


class Registering(FakeRuntime):
    """Takes for ever to be ready."""

    ended = False

    async def probe(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


async def test_stop_ends_a_look_at_a_runtime_that_takes_long_to_be_ready() -> None:
    runtime, stop = Registering(), asyncio.Event()
    readiness = Readiness(runtime=runtime, health=Health(), poll=timedelta(seconds=60))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        waiting = group.create_task(readiness.wait(stop), name="wait")
        await runtime.started.wait()
        stop.set()

    assert not waiting.result()
    assert runtime.ended
    assert not readiness.found
