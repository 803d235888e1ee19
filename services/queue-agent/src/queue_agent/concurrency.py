"""Doing one thing while another goes on beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


async def run_with(work: Awaitable[T], companion: Coroutine[Any, Any, None]) -> T:
    """The result of `work`, with `companion` running until then.

    An error of either ends the other and is raised as it is, without a group around it.
    """
    async with unwrap_group(), asyncio.TaskGroup() as group:
        task = group.create_task(companion, name="companion")
        result = await work
        task.cancel()
    return result


@asynccontextmanager
async def unwrap_group() -> AsyncIterator[None]:
    """Raise the first error of a task group as it is."""
    failed: Exception | None = None
    try:
        yield
    except ExceptionGroup as errors:
        failed = _first(errors)
    # Not in the handler: the error keeps the cause that it has.
    if failed is not None:
        raise failed


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
