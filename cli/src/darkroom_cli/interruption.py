"""Work that a signal ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from darkroom_cli.errors import CommandError

T = TypeVar("T")


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; it is cancelled when `stop` is set.

    Raises `CommandError` then; what `work` raises comes in an exception group.
    """
    async with asyncio.TaskGroup() as group:
        job = group.create_task(work, name="work")
        stopped = group.create_task(stop.wait(), name="stop")
        await asyncio.wait({job, stopped}, return_when=asyncio.FIRST_COMPLETED)
        interrupted = not job.done()
        for task in (job, stopped):
            task.cancel()
    if interrupted:
        raise CommandError("interrupted")
    return job.result()
