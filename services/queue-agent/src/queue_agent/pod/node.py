"""Finding out what node the pod is on, which decides what its time costs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from queue_agent.domain import Node
from servicekit.errors import RejectedError, TransientError

log = logging.getLogger(__name__)

TRIES: Final = 3
PAUSE: Final = timedelta(seconds=1)
DEADLINE: Final = timedelta(seconds=3)  # of one try


async def find_node(
    ask: Callable[[], Awaitable[Node]],
    *,
    pause: timedelta = PAUSE,
    deadline: timedelta = DEADLINE,
) -> Node:
    """The node that `ask` tells; an unknown one if it does not, which costs tasks no more."""
    for left in reversed(range(TRIES)):
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                return await ask()
        except (RejectedError, TransientError, TimeoutError) as error:
            problem = error
        if left:
            await asyncio.sleep(pause.total_seconds())
    log.warning("the node is unknown: tasks will have no price", exc_info=problem)
    return Node()
