from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from queue_agent_fakes import FakeRuntime

from queue_agent.domain import RuntimeBrokenError, RuntimeHangsError
from queue_agent.pipeline import readiness as readiness_module
from queue_agent.pipeline.readiness import Readiness
from servicekit.errors import FatalError, TransientError
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


def agent(runtime: FakeRuntime) -> Readiness:
    return Readiness(runtime=runtime, health=Health(), poll=timedelta(milliseconds=1))


async def test_what_is_lost_while_it_is_looked_at_is_looked_at_again() -> None:
    class Breaking(FakeRuntime):
        looks = 0

        async def probe(self) -> None:
            self.looks += 1
            if self.looks == 1:
                await readiness.lost(RuntimeBrokenError("broken"))
            else:
                stop.set()

    runtime, stop = Breaking(), asyncio.Event()
    readiness = agent(runtime)

    assert not await readiness.wait(stop)
    assert (readiness.found, readiness.restart_reason) == (False, "broken")


async def test_runtime_that_is_unwell_for_long_has_to_be_restarted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readiness = agent(FakeRuntime())

    await readiness.lost(RuntimeHangsError("goes on"))
    reasons = [readiness.restart_reason]
    monkeypatch.setattr(readiness_module, "UNWELL", timedelta())
    reasons.append(readiness.restart_reason)
    assert await readiness.wait(asyncio.Event())
    reasons.append(readiness.restart_reason)

    assert reasons == [None, "goes on", None]


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        (FatalError("denied"), [60, 120, 240, 480, 900, 900]),
        (TransientError("no S3"), [1, 2, 4, 8, 16, 32, 60, 60]),
    ],
)
async def test_each_outage_is_left_alone_for_longer_until_work_succeeds(
    error: FatalError | TransientError, pauses: list[int]
) -> None:
    readiness = agent(FakeRuntime())

    for seconds in pauses:
        await readiness.outage(error)
        await readiness.outage(error)  # of another delivery: it is the same outage
        assert readiness._pause == timedelta(seconds=seconds)
        readiness._paused_until = 0.0
    readiness.prove()
    await readiness.outage(error)

    assert readiness._pause == timedelta(seconds=pauses[0])
