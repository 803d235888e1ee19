"""Webhooks as a tenant has them: added by the command, told of a task, and looked at."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from commands import failed, run
from harness import Stack, text_to_image
from standardwebhooks import Webhook as Verifier

SECONDS = 120


@dataclass
class Hooked:
    """A tenant's own server, and what came to it."""

    port: int = 0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def events(self, secret: str, count: int) -> list[dict[str, Any]]:
        """The events, once there are so many; raises if one is not signed."""
        deadline = time.monotonic() + SECONDS
        while len(self.requests) < count:
            assert time.monotonic() < deadline, f"{len(self.requests)} requests"
            await asyncio.sleep(0.05)
        return [Verifier(secret).verify(body, headers) for headers, body in self.requests]


@pytest.fixture
def hooked() -> Iterator[Hooked]:
    made = Hooked()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the base class names it
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.paths.append(self.path)
            made.requests.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def webhooks(stack: Stack, *arguments: str) -> tuple[str, ...]:
    return ("webhooks", *arguments, "--data-dir", str(stack.folder))


async def command(stack: Stack, *arguments: str) -> Any:
    """What a command prints as JSON."""
    given = webhooks(stack, *arguments, "--json")
    return json.loads(await asyncio.to_thread(run, *given))


async def test_a_webhook_is_told_of_a_task_tried_replayed_and_removed(
    stack: Stack, hooked: Hooked
) -> None:
    url, began = f"http://127.0.0.1:{hooked.port}/in?token=t", datetime.now(UTC)
    made = await command(stack, "add", url, "--events", "completed", "--runtime", "sdruntime")
    webhook, secret = made["id"], made["secret"]
    try:
        # The notifier knows it after some seconds; a test goes to it at once.
        test = await command(stack, "test", webhook)
        (event,) = await hooked.events(secret, 1)
        assert (event["type"], event["uid"]) == ("webhook.test", test["uid"])

        accepted = await stack.submit(**text_to_image("hooked"))
        task = await stack.until(accepted["uid"], "completed")
        await command(stack, "replay", webhook, "--since", began.isoformat())
        events = await hooked.events(secret, 2)
        (told,) = {each["uid"]: each for each in events[1:]}.values()
        assert told["type"] == "task.completed"
        assert (told["uid"], told["image_url"]) == (accepted["uid"], task["image_url"])
        assert told["context"] == {"test": "hooked"}

        found = await deliveries(stack, webhook, 2)
        assert {(each["uid"], each["event"]) for each in found} == {
            (accepted["uid"], "task.completed"),
            (test["uid"], "webhook.test"),
        }
    finally:
        removed = await command(stack, "remove", webhook)
    assert removed["id"] == webhook
    assert await command(stack, "list") == []
    sentence = await asyncio.to_thread(failed, *webhooks(stack, "remove", webhook))
    assert sentence == "darkroom: webhook_not_found: there is no such webhook"


async def test_a_task_names_a_url_of_its_own_where_its_tenant_has_a_webhook(
    stack: Stack, hooked: Hooked
) -> None:
    here = f"http://127.0.0.1:{hooked.port}"
    task = text_to_image("own-url")
    task["metadata"]["callback_url"] = f"{here}/orders/7"
    async with stack.client() as client:
        refused = await client.post("/v1alpha2", json={"task": task})
    assert refused.status_code == 400
    (error,) = refused.json()["errors"]
    assert error["field"] == "task.metadata.callback_url"
    assert "must be on the scheme, host and port of a webhook" in error["message"]

    made = await command(stack, "add", f"{here}/in", "--events", "cancelled")
    try:
        accepted = await stack.submit(**task)
        await stack.until(accepted["uid"], "completed")
        (event,) = await hooked.events(made["secret"], 1)
        assert (event["type"], event["uid"]) == ("task.completed", accepted["uid"])
        assert hooked.paths == ["/orders/7"]
        await deliveries(stack, made["id"], 1)
    finally:
        await command(stack, "remove", made["id"])


async def deliveries(stack: Stack, webhook: str, count: int) -> list[dict[str, Any]]:
    """What was delivered, once it is so much; the index of a table may lag."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = await command(stack, "deliveries", webhook)
        if [each["state"] for each in found] == ["delivered"] * count:
            return list(found)
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)


async def test_a_url_of_the_machines_metadata_is_refused_with_the_reason(stack: Stack) -> None:
    given = webhooks(stack, "add", "http://169.254.169.254/latest", "--events", "failed")

    sentence = await asyncio.to_thread(failed, *given)

    assert "url is refused: the host has an address that is not public" in sentence
