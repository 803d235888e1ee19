"""A queue that hands messages over as AWS documents it for fair queues of Amazon SQS.

A tenant is noisy if it has more than 10 % of the messages in flight and 30 of them at least, or
if more than 10 % of the recent time in flight was its own. Messages of others come first, then
those of the noisy tenant with the fewest in flight. It is noisy no more once nothing of it
waits. How long "recent" is AWS does not say: here it is as long as a tenant must be silent to
be quiet again. (Developer guide of Amazon SQS, "How Amazon SQS fair queues work".)
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Final

from darkroom_bench.cost_parts import Queue
from queue_agent.domain import Delivery

SHARE: Final = 0.1
IN_FLIGHT: Final = 30
RECENT_SECONDS: Final = 300.0


def tenant_of(body: bytes) -> str:
    """Whose message it is: on AWS its `MessageGroupId`."""
    return str(json.loads(body)["content"]["tenant"])


@dataclass
class FairQueue(Queue):
    """`TaskSource` of all agents; each hand-over is decided anew."""

    _began: dict[str, tuple[str, float]] = field(default_factory=dict)  # by receipt
    _ended: deque[tuple[str, float, float]] = field(default_factory=deque)

    async def receive(self) -> Delivery | None:
        """Hand a message over, and note when; None if none comes for a while."""
        delivery = await super().receive()
        if delivery:
            self._began[delivery.receipt] = (tenant_of(delivery.body), _time())
        return delivery

    async def settle(self, delivery: Delivery) -> None:
        """Take a message out, and note how long it was in flight."""
        await super().settle(delivery)
        tenant, began = self._began.pop(delivery.receipt)
        self._ended.append((tenant, began, _time()))

    def take(self) -> tuple[bytes, int]:
        """The oldest message of who is quiet, or of the noisy one with the fewest in flight."""
        waiting: dict[str, int] = {}
        for place, (body, _) in enumerate(self.waiting):
            waiting.setdefault(tenant_of(body), place)
        in_flight = Counter(tenant for tenant, _ in self._began.values())
        noisy = self._noisy(in_flight)
        first = min(
            waiting,
            key=lambda tenant: (
                tenant in noisy,
                in_flight[tenant] if tenant in noisy else 0,
                waiting[tenant],
            ),
        )
        found = self.waiting[waiting[first]]
        del self.waiting[waiting[first]]
        return found

    def _noisy(self, in_flight: Counter[str]) -> set[str]:
        total = in_flight.total()
        busy = {t for t, n in in_flight.items() if n >= IN_FLIGHT and n > SHARE * total}
        spent, since = defaultdict[str, float](float), _time() - RECENT_SECONDS
        while self._ended and self._ended[0][2] < since:
            self._ended.popleft()
        for tenant, began, ended in self._ended:
            spent[tenant] += ended - max(began, since)
        for tenant, began in self._began.values():
            spent[tenant] += _time() - max(began, since)
        whole = sum(spent.values())
        return busy | {tenant for tenant, time in spent.items() if time > SHARE * whole}


def _time() -> float:
    return asyncio.get_running_loop().time()
