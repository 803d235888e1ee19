"""What ingest needs from the rest of Darkroom; what it only shows is as it came.

Every method raises `RejectedError` for a refusal, with the code that the client shall see, and
`TransientError` when no answer came in time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import date, datetime
from typing import Protocol

from contracts.keys import Key
from contracts.state import TaskState
from darkroom.modelsync.v1.modelsync_pb2 import Model
from darkroom.notifier.v1.webhooks_pb2 import Delivery, RotateWebhookResponse, Webhook
from darkroom.router.v1.operators_pb2 import (
    DeadLetter,
    DeadLetterResult,
    GetOverviewResponse,
)
from darkroom.router.v1.router_pb2 import ListTasksResponse, Runtime, Used
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Accepted, Caller, Change, Idempotency, Submission


class Router(Protocol):
    """Takes tasks and knows what became of them; a caller sees those of its tenant only."""

    async def submit(
        self, submission: Submission, caller: Caller, idempotency: Idempotency | None = None
    ) -> Accepted:
        """Queue the task durably, once for each idempotency key of a tenant.

        Safe to repeat with the same uid.
        """
        ...

    async def task(self, id: str, caller: Caller) -> TaskRecord:
        """A task by uid or by the client's id."""
        ...

    async def request(self, id: str, caller: Caller) -> bytes:
        """The body of v1alpha2 that submits a task again, by uid or by the client's id."""
        ...

    async def tasks(
        self,
        caller: Caller,
        *,
        runtime: str,
        state: TaskState | None,
        tenant: str,
        text: str,
        limit: int,
        before_uid: str,
    ) -> ListTasksResponse:
        """Tasks, newest first; what is empty sets no bound."""
        ...

    async def cancel(self, id: str, caller: Caller) -> TaskRecord:
        """Take a task back, by uid or by the client's id; gives it as it then stands."""
        ...

    async def links(self, uid: str, seconds: int, caller: Caller) -> tuple[str, ...]:
        """Download links for the images of a task and then for its `.out`."""
        ...

    async def listings(self, runtime: str, etag: str) -> tuple[str, bytes]:
        """What a runtime's server offers, in gzip, and its etag; no text if that is known."""
        ...

    def file(self, uid: str, image: int | None, caller: Caller) -> AsyncIterator[bytes]:
        """The image of a task with this index, or its `.out` document, in parts."""
        ...

    async def usage(self, caller: Caller, first: date, last: date) -> Sequence[Used]:
        """What was used on these days, both included."""
        ...

    async def runtimes(self) -> Sequence[Runtime]:
        """The configured runtimes in the order of the configuration."""
        ...

    async def is_serving(self) -> bool:
        """Whether it answers and says that it is ready. Never raises our errors."""
        ...


class Operators(Protocol):
    """How a stack does, and what operators do to it."""

    async def overview(self, caller: Caller) -> GetOverviewResponse:
        """How each runtime does, as the caller may know it."""
        ...

    async def dead_letters(
        self, caller: Caller, runtime: str, limit: int
    ) -> Sequence[DeadLetter]:
        """What was parked, newest first; of all queues if `runtime` is empty."""
        ...

    async def redrive(
        self, caller: Caller, runtime: str, messages: Sequence[str] | None
    ) -> Sequence[DeadLetterResult]:
        """Have what was parked done after all; None: all of it."""
        ...

    async def purge(
        self, caller: Caller, runtime: str, messages: Sequence[str] | None
    ) -> Sequence[DeadLetterResult]:
        """Throw away what was parked; None: all of it."""
        ...


class Notifier(Protocol):
    """Knows of each change of a task."""

    def watch(self, uid: str, after_sequence: int) -> AsyncGenerator[Change, None]:
        """The task now and after each change beyond `after_sequence`, until it has ended.

        Close it when it is no longer needed.
        """
        ...


class Models(Protocol):
    """The catalogue of models."""

    async def models(self) -> Sequence[Model]:
        """All models, by kind and then by name."""
        ...


class KeysSecret(Protocol):
    """Keys that are kept elsewhere than in ingest's file."""

    async def changed(self) -> list[Key] | None:
        """The keys if they are others than last time; None if not.

        Raises `BrokenKeysError`, or `AppError` if they cannot be read.
        """
        ...


class Webhooks(Protocol):
    """Where tenants are told of ended tasks; a tenant has no webhooks but its own."""

    async def create(
        self, tenant: str, url: str, events: Sequence[str], runtime: str
    ) -> tuple[Webhook, str]:
        """A new webhook and its secret."""
        ...

    async def list(self, tenant: str) -> Sequence[Webhook]:
        """All of them, oldest first."""
        ...

    async def delete(self, tenant: str, id: str) -> Webhook:
        """Remove one; gives it as it was."""
        ...

    async def rotate(self, tenant: str, id: str) -> RotateWebhookResponse:
        """Give one a new secret."""
        ...

    async def test(self, tenant: str, id: str) -> str:
        """Try one; gives the name of the test among the deliveries."""
        ...

    async def replay(
        self, tenant: str, id: str, since: datetime, until: datetime | None
    ) -> None:
        """Tell one again of the tasks that ended in that time; None: until now."""
        ...

    async def deliveries(self, tenant: str, id: str) -> Sequence[Delivery]:
        """What became of the newest events of one, newest first."""
        ...
