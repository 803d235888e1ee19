"""A client of Darkroom's REST API, as the commands need it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx

from darkroom_cli.errors import CommandError

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
POLL_SECONDS: Final = 0.25


class Api:
    """Calls one endpoint with one key; raises `CommandError` with the refusal's own words."""

    def __init__(self, endpoint: str, api_key: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=endpoint,
            headers={"x-api-key": api_key},
            timeout=30,
            trust_env=False,
            follow_redirects=False,
        )

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def submit(self, metadata: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        """Hand in one task by v1alpha2 and give the answer."""
        body = {"task": {"metadata": metadata, "content": content}}
        return await self._call("POST", "/v1alpha2", json=body)

    async def task(self, name: str) -> dict[str, Any]:
        """Give one task by uid or id."""
        return await self._call("GET", f"/v1/tasks/{name}")

    async def runtimes(self) -> list[dict[str, Any]]:
        """Give what can be asked for."""
        answer = await self._call("GET", "/v1/runtimes")
        runtimes: list[dict[str, Any]] = answer["runtimes"]
        return runtimes

    async def models(self) -> list[dict[str, Any]]:
        """Give the catalogue."""
        answer = await self._call("GET", "/v1/models")
        models: list[dict[str, Any]] = answer["models"]
        return models

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
            raise CommandError(
                f"{self._client.base_url} cannot be reached: {type(error).__name__}"
            ) from error
        if answer.is_success:
            value: dict[str, Any] = answer.json()
            return value
        try:
            problem = answer.json()
            raise CommandError(f"{problem['code']}: {problem['detail']}")
        except (ValueError, KeyError, TypeError):
            raise CommandError(f"the endpoint answered {answer.status_code}") from None
