"""How far an SD WebUI is, and whether it still lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from contracts.state import Progress
from queue_agent.domain import RuntimeLostError, RuntimeSilentError
from queue_agent.ports import Report
from queue_agent.runtimes.shape import progress, whole

State = Mapping[str, Any]


async def watch_progress(
    read: Callable[[], Awaitable[State]],
    before: State,
    report: Report,
    *,
    poll: timedelta,
    lost: timedelta,
) -> None:
    """Report progress until cancelled.

    Raises `RuntimeLostError` when the server is gone, or silent for longer than `lost`. That
    nothing moves is no reason: some servers never move it, and some work shows none.
    """
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while True:
        await asyncio.sleep(poll.total_seconds())
        try:
            async with asyncio.timeout(lost.total_seconds()):
                state = await read()
        except (RuntimeSilentError, TimeoutError):
            if loop.time() - heard >= lost.total_seconds():
                raise RuntimeLostError("the runtime fell silent") from None
            continue
        heard = loop.time()
        if news := progress_of(state, before):
            report(news)


def progress_of(state: State, before: State) -> Progress | None:
    """The progress that a state shows, None if it may be that of an earlier run.

    The state names no task, and its step counts are the last run's until the first step is
    done: only a new time stamp and a step of its own show that the present run speaks.
    """
    if state.get("job_timestamp") == before.get("job_timestamp"):
        return None
    counts = ("job_count", "job_no", "sampling_step", "sampling_steps")
    jobs, number, step, steps = (whole(state.get(name) or 0) for name in counts)
    if not state.get("job") or number < 0 or min(jobs, step, steps) < 1:
        return None
    total = jobs * steps
    return progress(min(number * steps + step, total), total)
