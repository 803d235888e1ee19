"""Reading answers whose shape nobody promises: what is not as expected is as if not there.

What an adapter cannot make sense of all the same is a failure of the task, with a name; it
never ends the agent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from contracts.state import Progress
from queue_agent.domain import RuntimeLostError, TaskFailedError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
MOST_STEPS: Final = 2**31 - 1  # as many as the notifier takes
_WRONG_SHAPE: Final = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


def understood(
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """The method, which raises `TaskFailedError` for answers of a shape it does not know."""

    @wraps(method)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except _WRONG_SHAPE as error:
            log.exception("the runtime's answer is not understood")
            raise TaskFailedError(
                f"the runtime's answer is not understood ({type(error).__name__})",
                code="runtime_error",
            ) from error

    return checked


def probing(
    method: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, None]]:
    """The method, which raises `RuntimeLostError` for whatever is wrong: here is no task."""

    @wraps(method)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await understood(method)(*args, **kwargs)
        except TaskFailedError as error:
            raise RuntimeLostError(str(error)) from error

    return checked


def mapping(value: object) -> Mapping[str, Any]:
    """An object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """A list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """A string, else an empty one."""
    return value if isinstance(value, str) else ""


def progress(step: object, total: object) -> Progress | None:
    """How far a run is; None if these are no such numbers."""
    done, most = whole(step), whole(total)
    return Progress(step=done, total=most) if 0 <= done <= most and most > 0 else None


def whole(value: object) -> int:
    """A number of things that can be counted, else -1."""
    return int(value) if isinstance(value, int | float) and 0 <= value <= MOST_STEPS else -1
