"""Pages of a stack that is older, and of one that answers what it should not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from darkroom_console.app import console_app
from darkroom_console.files import Files
from darkroom_console.stack import Stack
from darkroom_console.uploads import uploads

HERE = "http://127.0.0.1:8090"
UID = "01M82Y728ZPK76NSE40QBMX7G4"
NO_ROUTE = (404, {"code": "not_found", "detail": "there is no such path"})

Answers = dict[str, tuple[int, Any]]


@pytest.fixture
def answers() -> Answers:
    """What the stack answers, by path; every other path it does not have."""
    return {}


@pytest.fixture
def endpoint(answers: Answers) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class names it
            status, value = answers.get(self.path.partition("?")[0], NO_ROUTE)
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def client(endpoint: str) -> AsyncIterator[httpx.AsyncClient]:
    stack, files = Stack(endpoint, "dr_key"), Files()
    async with uploads() as sending:
        transport = httpx.ASGITransport(console_app(stack, files, sending))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as started:
            yield started
    await stack.client.aclose()
    await files.aclose()


@pytest.mark.parametrize("path", ["/", "/tasks", "/dead-letters", "/models", "/playground"])
async def test_what_an_older_stack_does_not_tell_is_said(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)

    assert answer.status_code == 200
    assert "is of a version that does not tell what this page shows" in answer.text


async def test_what_is_told_is_shown_beside_what_is_not(
    client: httpx.AsyncClient, answers: Answers
) -> None:
    answers["/v1/runtimes"] = (200, {"runtimes": []})
    answers["/v1/webhooks"] = (200, {"webhooks": []})
    answers["/v1/usage"] = (403, {"code": "forbidden", "detail": "not with this key"})

    text = (await client.get("/access")).text

    assert "This stack does not tell it." in text
    assert "There are none." in text
    assert "not with this key" in text


@pytest.mark.parametrize("told", [b"<html>", {"tasks": 1}, [], {"tasks": [{"uid": 7}]}])
async def test_answer_that_is_none_is_a_page(
    client: httpx.AsyncClient, answers: Answers, told: Any
) -> None:
    answers["/v1/tasks"] = (200, told)

    answer = await client.get("/tasks")

    assert answer.status_code == 502
    assert "is no Darkroom" in answer.text


async def test_file_without_a_link_is_not_there(
    client: httpx.AsyncClient, answers: Answers
) -> None:
    task = {"uid": UID, "state": "completed", "image_url": ["s3://b/1.png", "s3://b/2.png"]}
    answers[f"/v1/tasks/{UID}"] = (200, {**task, "links": ["https://files.example.com/1.png"]})

    answer = await client.get(f"/tasks/{UID}/files/2")

    assert answer.status_code == 404
    assert "the task has 1 files" in answer.text


@pytest.mark.parametrize("link", ["file:///etc/passwd", "nonsense", "http://["])
async def test_link_that_is_no_address_of_the_web_is_refused(
    client: httpx.AsyncClient, answers: Answers, link: str
) -> None:
    task = {"uid": UID, "state": "completed", "image_url": ["s3://b/1.png"], "links": [link]}
    answers[f"/v1/tasks/{UID}"] = (200, task)

    answer = await client.get(f"/tasks/{UID}/files/1")

    assert answer.status_code in {502, 503}
