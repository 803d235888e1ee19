"""What ingest needs from the rest of Darkroom, in its own words.

Every method raises `RejectedError` for a refusal, with the code that the client shall see, and
`TransientError` when no answer came in time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from ingest.domain import (
    Accepted,
    Change,
    Idempotency,
    Model,
    Page,
    Runtime,
    Submission,
    Task,
    TaskState,
)


class Router(Protocol):
    """Takes tasks and knows what became of them."""

    async def submit(
        self, submission: Submission, tenant: str, idempotency: Idempotency | None = None
    ) -> Accepted:
        """Queue the task durably, once for each idempotency key of a tenant.

        Safe to repeat with the same uid.
        """
        ...

    async def task(self, id: str) -> Task:
        """Give a task by uid or by the client's id."""
        ...

    async def tasks(
        self, *, runtime: str, state: TaskState | None, limit: int, before_uid: str
    ) -> Page:
        """Give tasks, newest first; an empty `runtime` or `before_uid` sets no bound."""
        ...

    async def cancel(self, id: str) -> Task:
        """Take a task back, by uid or by the client's id; gives it as it then stands."""
        ...

    async def links(self, uid: str, seconds: int) -> tuple[str, ...]:
        """Give download links for the images of a task and then for its `.out`."""
        ...

    async def runtimes(self) -> tuple[Runtime, ...]:
        """Give the configured runtimes in the order of the configuration."""
        ...

    async def is_serving(self) -> bool:
        """Tell whether it answers and says that it is ready. Never raises our errors."""
        ...


class Notifier(Protocol):
    """Knows of each change of a task."""

    def watch(self, uid: str, after_sequence: int) -> AsyncGenerator[Change, None]:
        """Give the task now and after each change beyond `after_sequence`, until it has ended.

        Close it when it is no longer needed.
        """
        ...


class Models(Protocol):
    """The catalogue of models."""

    async def models(self) -> tuple[Model, ...]:
        """Give all models, by kind and then by name."""
        ...
