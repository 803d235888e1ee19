"""`OpenTasks` in a dictionary, for tests; the contract suite holds it to DynamoDB."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from contracts.ids import Uid
from ledger.open_tasks import Owner


@dataclass
class MemoryOpenTasks:
    """Keeps them until the process ends."""

    held: defaultdict[Owner, set[Uid]] = field(default_factory=lambda: defaultdict(set))

    async def take(self, owner: Owner, uid: Uid, limit: int) -> bool:
        held = self.held[owner]
        if uid not in held and len(held) >= limit:
            return False
        held.add(uid)
        return True

    async def give_back(self, owner: Owner, uid: Uid) -> None:
        self.held[owner].discard(uid)

    async def of(self, owner: Owner) -> frozenset[Uid]:
        return frozenset(self.held[owner])

    async def owners(self) -> tuple[Owner, ...]:
        return tuple(sorted(self.held))
