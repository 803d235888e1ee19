"""Which tasks of a key are open, for keys that may have only so many at once.

The uids themselves are kept, not their number: to count one twice, or to take it away twice,
changes nothing, and what a crash has left can be told from what is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from contracts.ids import Uid


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """A key of a tenant."""

    tenant: str
    key: str


class OpenTasks(Protocol):
    """The open tasks by key; raises `TransientError` when they cannot be reached."""

    async def take(self, owner: Owner, uid: Uid, limit: int) -> bool:
        """Count a task, unless so many others are open; safe to repeat."""
        ...

    async def give_back(self, owner: Owner, uid: Uid) -> None:
        """No longer count a task; safe to repeat."""
        ...

    async def of(self, owner: Owner) -> frozenset[Uid]:
        """What is counted of a key."""
        ...

    async def owners(self) -> tuple[Owner, ...]:
        """The keys whose tasks were ever counted."""
        ...
