"""HTTP to a runtime that records what is asked for, so that a test can wait for a look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from queue_agent.runtimes.http import CALL_BUDGET, Answer, RuntimeHttp


@dataclass(frozen=True, kw_only=True)
class Watched(RuntimeHttp):
    """Records which paths are asked for."""

    asked: list[str] = field(default_factory=list)

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        budget: timedelta = CALL_BUDGET,
    ) -> Answer:
        answer = await super().get(path, params, budget)
        self.asked.append(path)
        return answer

    async def looks(self, count: int = 3, path: str = "/queue") -> None:
        """Wait until a path was asked for some more times."""
        wanted = self.asked.count(path) + count
        async with asyncio.timeout(60):
            while self.asked.count(path) < wanted:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0)
