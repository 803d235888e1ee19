from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from queue_agent_fakes import FakeRuntime, task

from queue_agent.domain import Leftovers, RuntimeLostError, TaskFailedError
from queue_agent.runtimes.cleanup import WAITING, Cleanup


def left() -> Leftovers:
    return Leftovers(uid=task().uid, attempt=1)


@asynccontextmanager
async def at_work(cleanup: Cleanup) -> AsyncIterator[None]:
    running = asyncio.create_task(cleanup.run_until_stopped(), name="cleanup")
    try:
        async with asyncio.timeout(60):
            yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_attempts_are_forgotten_in_their_order() -> None:
    runtime, all_left = FakeRuntime(), [left() for _ in range(3)]
    cleanup = Cleanup(runtime=runtime)
    cleanup.later(all_left[0])

    async with at_work(cleanup):
        first = await runtime.forgotten.get()
        for one in all_left[1:]:
            cleanup.later(one)
        rest = [await runtime.forgotten.get() for _ in range(2)]

    assert [first, *rest] == all_left


class Broken(FakeRuntime):
    """Forgets nothing of some attempts."""

    error: Exception | None = None

    async def forget(self, leftovers: Leftovers) -> None:
        if leftovers.attempt == 2:
            if self.error is None:
                await asyncio.Event().wait()
            else:
                raise self.error
        await super().forget(leftovers)


@pytest.mark.parametrize(
    "error",
    [RuntimeLostError("gone"), TaskFailedError("refused", code="runtime_error"), None],
)
async def test_failure_to_forget_one_is_logged_and_the_next_follows(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Broken()
    runtime.error = error
    cleanup = Cleanup(runtime=runtime, budget=timedelta(seconds=0.1))

    async with at_work(cleanup):
        cleanup.later(Leftovers(uid=task().uid, attempt=2))
        cleanup.later(following := left())
        assert await runtime.forgotten.get() == following

    assert [record.message for record in caplog.records] == [
        "a task's images stay at the runtime"
    ]


async def test_oldest_ones_stay_when_too_many_wait() -> None:
    runtime, all_left = FakeRuntime(), [left() for _ in range(WAITING + 1)]
    cleanup = Cleanup(runtime=runtime)
    for one in all_left:
        cleanup.later(one)

    async with at_work(cleanup):
        assert await runtime.forgotten.get() == all_left[1]
