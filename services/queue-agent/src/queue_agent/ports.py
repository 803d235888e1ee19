"""What the queue agent needs from the outside world, in its own words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from contracts.ids import Uid
from queue_agent.domain import Begun, Delivery, Generated, Job, Progress, Stored

Report = Callable[[Progress], None]
Take = Callable[[int], None]


class TaskSource(Protocol):
    """A queue that hands a message over for a while and takes it back if it is not settled.

    Every method raises `TransientError` when the queue cannot be reached.
    """

    async def receive(self) -> Delivery | None:
        """Wait at most 10 s for one message. Never cancel this: see `consumer`."""
        ...

    async def extend(self, delivery: Delivery, by: timedelta) -> None:
        """Hide the message for `by` from now; raises `LeaseLostError` if it is not ours."""
        ...

    async def settle(self, delivery: Delivery) -> None:
        """Remove the message for good; no error if it is not ours. Safe to repeat."""
        ...

    async def release(self, delivery: Delivery, after: timedelta = timedelta()) -> None:
        """Give the message back, to be seen again after `after`; no error if it is not ours."""
        ...


class Notifier(Protocol):
    """Who commits what happens. Every method raises `TransientError` and is safe to repeat."""

    async def begin(self, uid: Uid) -> Begun:
        """Ask whether a delivery may be worked on."""
        ...

    async def report(self, uid: Uid, attempt: int, progress: Progress) -> None:
        """Tell how far an attempt is."""
        ...

    async def finish(self, uid: Uid, attempt: int, stored: Stored) -> bool:
        """Commit and tell the end; gives whether it is this attempt's end that counts."""
        ...


class ClaimStore(Protocol):
    """Where bodies wait that did not fit into a message."""

    async def read(self, key: str) -> bytes:
        """Give the body; raises `TransientError`."""
        ...


class OutputStore(Protocol):
    """The output bucket."""

    async def write(self, key: str, body: bytes, content_type: str) -> None:
        """Store an object, over an older one; raises `TransientError`. Safe to repeat."""
        ...


class InputReader(Protocol):
    """Reads what one kind of URL names."""

    async def read(self, url: str, take: Take) -> bytes:
        """Give the bytes, calling `take` with the size of each part before keeping it.

        Raises `InputUnavailableError`, or what `take` raises.
        """
        ...


class ImageRuntime(Protocol):
    """A server that makes images, one job at a time.

    Every method raises `RuntimeLostError` when the server does not answer.
    """

    async def probe(self) -> None:
        """Return if the server can take a job."""
        ...

    async def upload(self, name: str, body: bytes) -> str:
        """Keep an input image at the server; gives the name under which a job finds it."""
        ...

    async def run(self, job: Job, report: Report) -> Generated:
        """Do a job; `report` is called as it goes on.

        Raises `TaskFailedError` for what the server refuses or fails at, `TransientError` when
        somebody else interrupted it. When cancelled it interrupts the server first, and nothing
        of the unfinished job is given.
        """
        ...
