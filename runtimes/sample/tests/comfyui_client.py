"""A client of ComfyUI, as far as the tests are one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect  # pants: no-infer-dep

Event = tuple[str, dict[str, Any]]


@asynccontextmanager
async def listen(runtime: str, client_id: str) -> AsyncIterator[ClientConnection]:
    url = f"{runtime.replace('http', 'ws')}/ws?clientId={client_id}"
    async with connect(url, open_timeout=60) as socket:
        yield socket


async def events_until(
    socket: ClientConnection, last: str, *, keep_status: bool = False
) -> list[Event]:
    """What arrives up to the first `last`; `end` is `executing` without a node."""
    found: list[Event] = []
    async for text in socket:
        message = json.loads(text)
        event, content = message["type"], message["data"]
        if event != "status" or keep_status:
            found.append((event, content))
        if event == last or (last == "end" and event == "executing" and not content["node"]):
            return found
    raise AssertionError("the websocket closed")


async def submit(client: httpx.AsyncClient, graph: dict[str, Any], client_id: str = "") -> str:
    prompt_id = str(uuid4())
    body = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
    answer = await client.post("/prompt", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["prompt_id"] == prompt_id
    return prompt_id


async def run(runtime: str, client: httpx.AsyncClient, graph: dict[str, Any]) -> dict[str, Any]:
    """Run a graph to its end and give its history."""
    client_id = str(uuid4())
    async with listen(runtime, client_id) as socket:
        prompt_id = await submit(client, graph, client_id)
        await events_until(socket, "end")
    return await history(client, prompt_id)


async def history(client: httpx.AsyncClient, prompt_id: str) -> dict[str, Any]:
    entry: dict[str, Any] = (await client.get(f"/history/{prompt_id}")).json()[prompt_id]
    return entry


def message_names(entry: dict[str, Any]) -> list[str]:
    return [name for name, _ in entry["status"]["messages"]]


def with_prompt(graph: dict[str, Any], text: str) -> dict[str, Any]:
    changed = deepcopy(graph)
    changed["6"]["inputs"]["text"] = text
    return changed
