"""What the router needs from the outside world, in its own words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from contracts.ids import Key, Uid
from contracts.kinds import TaskType
from router.domain import Claim, DeadLetter, Depth, Held


class Models(Protocol):
    """The catalogue of the model bucket."""

    async def require_checkpoint(self, name: str) -> None:
        """Return if the bucket has the checkpoint.

        Raises `RejectedError` (`model_not_found`, with what there is) if it has not, or
        (`model_ambiguous`) if it has two that the name means alike, and
        `TransientError` when the catalogue cannot be asked.
        """
        ...


class TaskTopic(Protocol):
    """Where tasks go to the queues of their runtimes."""

    async def publish(
        self, message: bytes, *, runtime: str, tasktype: TaskType, tenant: str
    ) -> None:
        """Hand the message over; raises `TransientError` when that is not certain."""
        ...


class Claims(Protocol):
    """Keeps the bodies that are too large for a message, until they expire."""

    async def put(self, uid: Uid, content_json: bytes) -> Key:
        """Store a body and give its key; raises `TransientError`."""
        ...

    async def get(self, key: Key) -> bytes:
        """A body that was stored; raises `TransientError`, or `FatalError` if it is gone."""
        ...


class IdempotencyKeys(Protocol):
    """Who holds which key, for 24 hours. Every method raises `TransientError`."""

    async def claim(self, claim: Claim, now: datetime) -> Held:
        """Hold the key unless another submission does; gives who holds it then."""
        ...

    async def take_over(self, claim: Claim, held: Held, now: datetime) -> bool:
        """Hold the key instead of `held`; False if that is no longer what holds it."""
        ...

    async def accept(self, claim: Claim) -> bool:
        """Note that the submission is queued; False if the key was taken over."""
        ...

    async def release(self, claim: Claim) -> None:
        """Release the key if this claim holds it and was not accepted."""
        ...


class Requests(Protocol):
    """The packed requests of tasks, for as long as their records."""

    def keep(self, uid: Uid, body: bytes, created_at: datetime) -> None:
        """Keep a request soon, or, when that fails, never: nobody waits for it."""
        ...

    async def of(self, uid: Uid) -> bytes | None:
        """The request of a task, if it is kept; raises `TransientError`."""
        ...


class Notifier(Protocol):
    """Commits what becomes of tasks."""

    async def settle_cancel(self, uid: Uid) -> None:
        """End a marked task that no agent works on; raises `TransientError`."""
        ...

    async def check_callback_url(self, tenant: str, url: str) -> None:
        """Return if a task of the tenant may name the URL.

        Raises `RejectedError` (`invalid_request`), and `TransientError`.
        """
        ...


class Queues(Protocol):
    """The queue of each runtime, and that of webhooks; raises `AppError`."""

    async def depth(self, name: str) -> Depth:
        """How full a queue and its dead letters are."""
        ...

    def parked(
        self, name: str, limit: int, only: frozenset[str] | None = None
    ) -> AbstractAsyncContextManager[list[DeadLetter]]:
        """Hold up to `limit` dead letters of a queue, those named in `only` if it is set.

        Nobody else sees them, nor those that were looked through, until the block ends; what
        was not deleted by then is given back.
        """
        ...

    async def delete(self, letter: DeadLetter) -> None:
        """Remove a dead letter that is held for good."""
        ...

    async def put_back(self, letter: DeadLetter) -> None:
        """Queue what a dead letter says again, as a message of its own."""
        ...


class Files(Protocol):
    """The output bucket."""

    async def link(self, url: str, seconds: int) -> str:
        """A URL by which anybody can read the `s3://` object for that time."""
        ...

    async def listings(self, runtime: str, etag: str) -> tuple[str, bytes]:
        """What a runtime offers and its etag; no text if it has the one that is known.

        Raises `RejectedError` (`not_found`) and `TransientError`.
        """
        ...

    def read(self, url: str) -> AsyncIterator[bytes]:
        """The `s3://` object in parts of up to 256 KiB.

        Raises `RejectedError` (`not_found`) and `TransientError`.
        """
        ...
