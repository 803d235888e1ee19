"""A TCP proxy that makes what is behind it farther away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

HOST: Final = "127.0.0.1"
CHUNK: Final = 2**16


@asynccontextmanager
async def latency_proxy(target_port: int, seconds: float) -> AsyncIterator[int]:
    """A port that leads to another of this machine; a round trip takes `seconds` longer.

    Every byte is late by half of that in each direction, and none waits for another: it is
    distance, not a narrow line.
    """
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a callback of the server is a task
        connections.add(task)
        try:
            await _connect(reader, writer, target_port, seconds / 2)
        finally:
            connections.discard(task)

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.wait(connections) if connections else None


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, delay: float
) -> None:
    with suppress(OSError, asyncio.CancelledError):
        inner_reader, inner_writer = await asyncio.open_connection(HOST, port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_carry(reader, inner_writer, delay), name="there")
                group.create_task(_carry(inner_reader, writer, delay), name="back")
        finally:
            writer.close()
            inner_writer.close()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
) -> None:
    """Carry bytes until their end; the end is late, too."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take_in() -> None:
        part = b"-"
        while part:
            with suppress(OSError):
                part = b""
                part = await reader.read(CHUNK)
            on_the_way.put_nowait((loop.time() + delay, part))

    async with asyncio.TaskGroup() as group:
        group.create_task(take_in(), name="take-in")
        while True:
            due, part = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not part:
                break
            writer.write(part)
    with suppress(OSError):
        writer.close()
