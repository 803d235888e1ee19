"""Each test of a client runs with both: the one that waits and the one that awaits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stub_server import StubServer, stub_server

from darkroom_client import AsyncDarkroom, Darkroom

KEY = "key-of-the-test"


class Awaited:
    """An `AsyncDarkroom` whose calls are awaited, as if it were the other client."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._client = AsyncDarkroom(*arguments, **options)
        self._loop = asyncio.new_event_loop()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            made = method(*arguments, **options)
            if inspect.isawaitable(made):
                return self._loop.run_until_complete(made)
            return self._iterated(made)

        return call

    def _iterated(self, made: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(made.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(made.aclose())

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())  # as asyncio.run does
        self._loop.close()


@pytest.fixture
def server() -> Iterator[StubServer]:
    with stub_server() as made:
        yield made


@pytest.fixture(params=[Darkroom, Awaited], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes clients of one kind, which are closed afterwards."""
    made = []

    def connected(url: str, **options: Any) -> Any:
        client = request.param(url, KEY, **options)
        made.append(client)
        return client

    yield connected
    for client in made:
        client.close()


@pytest.fixture
def darkroom(connect: Callable[..., Any], server: StubServer) -> Any:
    return connect(server.url)
