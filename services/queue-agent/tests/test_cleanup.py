from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from queue_agent_fakes import FakeRuntime, task

from queue_agent.domain import Remains, RuntimeLostError, TaskFailedError
from queue_agent.runtimes.cleanup import WAITING, Tidier


def left() -> Remains:
    return Remains(uid=task().uid, attempt=1)


@asynccontextmanager
async def at_work(tidier: Tidier) -> AsyncIterator[None]:
    keeping = asyncio.create_task(tidier.keep(), name="keep")
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def test_attempts_are_forgotten_in_their_order() -> None:
    runtime, all_left = FakeRuntime(), [left() for _ in range(3)]
    tidier = Tidier(runtime=runtime)
    tidier.later(all_left[0])

    async with at_work(tidier):
        first = await runtime.forgotten.get()
        for one in all_left[1:]:
            tidier.later(one)
        rest = [await runtime.forgotten.get() for _ in range(2)]

    assert [first, *rest] == all_left


class Broken(FakeRuntime):
    """Forgets nothing of some attempts."""

    error: Exception | None = None

    async def forget(self, remains: Remains) -> None:
        if remains.attempt == 2:
            if self.error is None:
                await asyncio.Event().wait()
            else:
                raise self.error
        await super().forget(remains)


@pytest.mark.parametrize(
    "error",
    [RuntimeLostError("gone"), TaskFailedError("refused", code="runtime_error"), None],
)
async def test_failure_to_forget_one_is_logged_and_the_next_follows(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Broken()
    runtime.error = error
    tidier = Tidier(runtime=runtime, budget=timedelta(seconds=0.1))

    async with at_work(tidier):
        tidier.later(Remains(uid=task().uid, attempt=2))
        tidier.later(following := left())
        assert await runtime.forgotten.get() == following

    assert [record.message for record in caplog.records] == [
        "a task's images stay at the runtime"
    ]


async def test_oldest_ones_stay_when_too_many_wait() -> None:
    runtime, all_left = FakeRuntime(), [left() for _ in range(WAITING + 1)]
    tidier = Tidier(runtime=runtime)
    for one in all_left:
        tidier.later(one)

    async with at_work(tidier):
        assert await runtime.forgotten.get() == all_left[1]
