"""The client of the commands: `darkroom_client`, whose errors end a command with a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import date
from types import TracebackType
from typing import Any, Final

from darkroom_cli.errors import CommandError
from darkroom_client import (
    AsyncDarkroom,
    DarkroomError,
    GroupBy,
    Image,
    StateEvent,
    Task,
    Unreachable,
    results,
)

TERMINAL: Final = results.TERMINAL
# For some time a gateway refuses a new API key, and a new load balancer has no targets.
_UNREADY: Final = frozenset({401, 403, 500, 502, 503, 504})


class UnreadyError(CommandError):
    """A call failed in a way that may pass while a stack is new."""


class UnreachableError(UnreadyError):
    """Nothing answers at the endpoint."""

    status = 3


class Api:
    """Calls one endpoint with one key; gives answers as they came and raises `CommandError`.

    `client` has the rest; commands that `terminal.call` runs may let its errors pass.

    Each call is made once unless `retry_seconds` says otherwise: people see at once what is
    wrong, and `verify` is patient itself.
    """

    def __init__(
        self, endpoint: str, api_key: str, *, trust_env: bool = False, retry_seconds: float = 0
    ) -> None:
        self.client = AsyncDarkroom(
            endpoint, api_key, retry_seconds=retry_seconds, trust_env=trust_env
        )

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.aclose()

    async def submit(self, metadata: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        """Hand in one task by v1alpha2 and give the answer."""
        return await self.post({"task": {"metadata": metadata, "content": content}})

    async def post(
        self, body: dict[str, Any], *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Hand in a whole body of v1alpha2 and give the answer; once for each key."""
        with told():
            return dict((await self.client.submit(body, idempotency_key=idempotency_key)).raw)

    async def task(self, name: str) -> dict[str, Any]:
        """One task by uid or id."""
        with told():
            return dict((await self.client.task(name)).raw)

    async def links(self, name: str) -> list[str]:
        """Links that download a task's files for a while, its images first."""
        with told():
            return await self.client.links(name)

    async def images(self, task: dict[str, Any]) -> tuple[Image, ...]:
        """Download the images of a task that has ended."""
        with told():
            return await self.client.images(Task.model_validate(task))

    async def tasks(
        self, *, runtime: str | None, state: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """The newest tasks."""
        found: list[dict[str, Any]] = []
        with told():
            async for task in self.client.tasks(runtime=runtime, state=state, page=limit):
                found.append(dict(task.raw))
                if len(found) == limit:
                    break
        return found

    async def cancel(self, name: str) -> dict[str, Any]:
        """Take a task back and give it as it stands."""
        with told():
            return dict((await self.client.cancel(name)).raw)

    async def events(self, name: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Each event of a task with its content, until it has ended.

        A broken stream is taken up again where it broke, for a while; raises `CommandError`
        when there is none at all.
        """
        with told():
            async for event in self.client.watch(name):
                if isinstance(event, StateEvent):
                    yield "state", dict(event.task.raw)
                else:
                    yield "progress", dict(event.raw)

    async def runtimes(self) -> list[dict[str, Any]]:
        """What can be asked for."""
        with told():
            return [dict(runtime.raw) for runtime in await self.client.runtimes()]

    async def models(self) -> list[dict[str, Any]]:
        """The catalogue."""
        with told():
            return [dict(model.raw) for model in await self.client.models()]

    async def usage(self, first: date, last: date, by: GroupBy) -> dict[str, Any]:
        """What tasks that ended on these days have used."""
        with told():
            return dict((await self.client.usage(first, last, group_by=by)).raw)

    async def finished(self, name: str) -> dict[str, Any]:
        """Wait for a terminal state and give the task."""
        with told():
            return dict((await self.client.wait(name, timeout=None)).raw)


@contextmanager
def told() -> Iterator[None]:
    """Raise as `CommandError` what the client raises in the block."""
    try:
        yield
    except Unreachable as error:
        raise UnreachableError(str(error)) from error
    except DarkroomError as error:
        kind = UnreadyError if error.status in _UNREADY else CommandError
        raise kind(str(error)) from error
