"""What the queue agent needs from the outside world, in its own words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from contracts.cost import Cost
from contracts.ids import Uid
from contracts.state import Progress
from queue_agent.domain import Begun, Delivery, Generated, Incoming, Job, Leftovers, Stored
from queue_agent.files.body import Body

Report = Callable[[Progress], None]
Take = Callable[[int], None]
ReleaseEarly = Callable[[], Awaitable[None]]
Started = Callable[[], None]


async def no_one_waits() -> None:
    """Do nothing: there is no other run to be let in."""


def no_one_asks() -> None:
    """Do nothing: it is the same to the caller when the run begins."""


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
        """Return the message, to be seen again after `after`; no error if it is not ours."""
        ...


class Notifier(Protocol):
    """Who commits what happens. Every method raises `TransientError` and is safe to repeat."""

    async def begin(self, incoming: Incoming, receives: int) -> Begun:
        """Ask whether a delivery, the message's `receives`th, may be worked on."""
        ...

    async def report(
        self,
        uid: Uid,
        attempt: int,
        progress: Progress | None,
        started_at: datetime | None = None,
    ) -> bool:
        """Report how far an attempt is, None without news; returns whether it is cancelled.

        `started_at` is when the runtime began with it, to be reported once.
        """
        ...

    async def release(
        self,
        uid: Uid,
        attempt: int,
        *,
        interrupted: bool,
        reason: str,
        cost: Cost | None = None,
    ) -> None:
        """Report that an attempt ends without a result; an interruption is no failure."""
        ...

    async def finish(self, uid: Uid, attempt: int, stored: Stored) -> bool:
        """Commit the end and send its callback; returns whether this attempt's end counts."""
        ...

    async def is_open(self, uid: Uid) -> bool:
        """Whether the task has not ended, so that an end of it could still count."""
        ...

    async def check(self) -> None:
        """Return if it can commit; changes nothing."""
        ...


class ClaimStore(Protocol):
    """Where bodies wait that did not fit into a message."""

    async def read(self, key: str) -> bytes:
        """The body; raises `TransientError`, `TaskFailedError` if it is there no more."""
        ...


class OutputStore(Protocol):
    """The output bucket."""

    async def write(
        self, key: str, body: Body, content_type: str, owner: str, *, anyway: bool = False
    ) -> str:
        """Store an object if nobody else's has that key, or `anyway`; gives whose it is then.

        Raises `TransientError`. Safe to repeat.
        """
        ...


class ListingStore(Protocol):
    """Where what a runtime offers is kept."""

    async def keep(self, text: bytes, digest: str) -> None:
        """Keep it unless it is what is kept; raises `TransientError`. Safe to repeat."""
        ...


class InputReader(Protocol):
    """Reads what one kind of URL names."""

    async def read(self, url: str, take: Take) -> Body:
        """The bytes, calling `take` with the size of each part before keeping it.

        Raises `InputUnavailableError`, `NoRoomError`, or what `take` raises.
        """
        ...


class PodMark(StrEnum):
    """What the cluster is told of this pod."""

    IDLE = "idle"
    BUSY = "busy"  # idle pods are to end before it
    LASTING = "lasting"  # and it has been for a while: as many pods are to stay as have this


class PodApi(Protocol):
    """The cluster's record of this pod."""

    async def mark(self, mark: PodMark) -> None:
        """Put a mark in place of the last; raises `TransientError`. Safe to repeat."""
        ...


class ImageRuntime(Protocol):
    """A server that makes images, one job at a time.

    Every method raises `RuntimeLostError` when the server does not answer.
    """

    async def probe(self) -> None:
        """Return if the server can take a job."""
        ...

    async def upload(self, name: str, body: Body) -> str:
        """Store an input at the server; returns the name under which a job finds it.

        A folder in `name` is one that the server looks into for such files.
        """
        ...

    async def encode(self, job: Job) -> Job:
        """The job with its request made, so that nothing but sending it is left."""
        ...

    def loading(self, job: Job) -> timedelta:
        """How much longer than usual a run may take, for models that it has to load."""
        ...

    async def run(
        self,
        job: Job,
        report: Report,
        release_early: ReleaseEarly = no_one_waits,
        started: Started = no_one_asks,
    ) -> Generated:
        """Do a job; `report` is called as it goes on.

        `started` is called when the server begins with it, which may have others to do first,
        and `release_early` when it is done with it; after that the results are only read.
        Raises `TaskFailedError` for what the server refuses or fails at, `RunInterruptedError`
        when somebody else interrupted it. When cancelled it interrupts the server first, and
        returns nothing of the unfinished job.
        """
        ...

    async def forget(self, leftovers: Leftovers) -> None:
        """Delete what an attempt has left, as far as the server can. Safe to repeat.

        Raises `TaskFailedError`, too, when the server refuses.
        """
        ...
