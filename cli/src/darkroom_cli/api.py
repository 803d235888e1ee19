"""A client of Darkroom's REST API, as the commands need it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
from httpx_sse import aconnect_sse

from contracts.ids import task_id
from darkroom_cli.errors import CommandError

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
POLL_SECONDS: Final = 0.25
EVENT_TRIES: Final = 20  # without an event in between
LINK_SECONDS: Final = 600
# For some time a gateway refuses a new API key, and a new load balancer has no targets.
_UNREADY: Final = frozenset({401, 403, 500, 502, 503, 504})


class UnreadyError(CommandError):
    """A call failed in a way that may pass while a stack is new."""


class Api:
    """Calls one endpoint with one key; raises `CommandError` with the refusal's own words."""

    def __init__(self, endpoint: str, api_key: str, *, trust_env: bool = False) -> None:
        self._client = httpx.AsyncClient(
            base_url=endpoint,
            headers={"x-api-key": api_key},
            timeout=30,
            trust_env=trust_env,
            follow_redirects=False,
        )

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def submit(self, metadata: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        """Hand in one task by v1alpha2 and give the answer."""
        return await self.post({"task": {"metadata": metadata, "content": content}})

    async def post(
        self, body: dict[str, Any], *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Hand in a whole body of v1alpha2 and give the answer; once for each key."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return await self._call("POST", "/v1alpha2", json=body, headers=headers)

    async def task(self, name: str) -> dict[str, Any]:
        """One task by uid or id."""
        return await self._call("GET", _path(name))

    async def links(self, name: str) -> list[str]:
        """Links that download a task's files for a while, its images first."""
        answer = await self._call("GET", _path(name), params={"links": LINK_SECONDS})
        links: list[str] = answer["links"]
        return links

    async def tasks(
        self, *, runtime: str | None, state: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """The newest tasks."""
        wanted = {"runtime": runtime, "state": state, "limit": limit}
        given = {name: value for name, value in wanted.items() if value is not None}
        answer = await self._call("GET", "/v1/tasks", params=given)
        tasks: list[dict[str, Any]] = answer["tasks"]
        return tasks

    async def cancel(self, name: str) -> dict[str, Any]:
        """Take a task back and give it as it stands."""
        return await self._call("DELETE", _path(name))

    async def events(self, name: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Each event of a task with its content, until it has ended.

        A broken stream is taken up again where it broke, a few times; raises `CommandError`
        when there is none at all.
        """
        path, last, tries, connected = _path(name), "", 0, False
        while tries < EVENT_TRIES:
            headers = {"last-event-id": last} if last else {}
            try:
                async with aconnect_sse(
                    self._client, "GET", f"{path}/events", headers=headers
                ) as source:
                    if not source.response.is_success:
                        await source.response.aread()
                        raise _refusal(source.response)
                    connected = True
                    async for event in source.aiter_sse():
                        last, tries = event.id, 0
                        content = event.json()
                        yield event.event, content
                        if event.event == "state" and content["state"] in TERMINAL:
                            return
            except httpx.HTTPError as error:
                if not connected:
                    raise self._unreachable(error) from error
                await asyncio.sleep(POLL_SECONDS)
            tries += 1

    async def runtimes(self) -> list[dict[str, Any]]:
        """What can be asked for."""
        answer = await self._call("GET", "/v1/runtimes")
        runtimes: list[dict[str, Any]] = answer["runtimes"]
        return runtimes

    async def models(self) -> list[dict[str, Any]]:
        """The catalogue."""
        answer = await self._call("GET", "/v1/models")
        models: list[dict[str, Any]] = answer["models"]
        return models

    async def call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """What any route answers; `arguments` are those of a request of httpx."""
        return await self._call(method, path, **arguments)

    async def finished(self, name: str) -> dict[str, Any]:
        """Wait for a terminal state and give the task."""
        while True:
            task = await self.task(name)
            if task["state"] in TERMINAL:
                return task
            await asyncio.sleep(POLL_SECONDS)

    async def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = await self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if not answer.is_success:
            raise _refusal(answer)
        try:
            value: dict[str, Any] = answer.json()
        except ValueError:
            raise CommandError(f"{self._client.base_url} is no Darkroom: no JSON") from None
        return value

    def _unreachable(self, error: httpx.HTTPError) -> CommandError:
        return UnreadyError(
            f"{self._client.base_url} cannot be reached: {type(error).__name__}"
        )


def _path(name: str) -> str:
    """The path of a task; a name that no task can have must not become another path."""
    try:
        return f"/v1/tasks/{task_id(name)}"
    except ValueError as error:
        raise CommandError(f"'{name}' is no name of a task: it {error}") from None


def _refusal(answer: httpx.Response) -> CommandError:
    refusal = UnreadyError if answer.status_code in _UNREADY else CommandError
    try:
        problem = answer.json()
        return refusal(f"{problem['code']}: {problem['detail']}")
    except (ValueError, KeyError, TypeError):
        return refusal(f"the endpoint answered {answer.status_code}")
