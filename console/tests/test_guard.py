"""What other pages of the same browser may not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from darkroom_console.app import console_app
from darkroom_console.files import Files
from darkroom_console.stack import Stack
from darkroom_console.uploads import uploads

HERE = "http://127.0.0.1:8090"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The console of a stack that is not there."""
    stack, files = Stack("http://127.0.0.1:9", "dr_key"), Files()
    async with uploads() as sending:
        transport = httpx.ASGITransport(console_app(stack, files, sending))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as started:
            yield started
    await stack.client.aclose()
    await files.aclose()


async def test_another_name_of_this_machine_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz", headers={"host": "rebound.example.com:8090"})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "http://127.0.0.1:9999", "null", None]
)
async def test_post_of_another_page_is_refused(
    client: httpx.AsyncClient, origin: str | None
) -> None:
    headers = {} if origin is None else {"origin": origin}

    answer = await client.post("/tasks/cancel", data={"uid": "1"}, headers=headers)

    assert answer.status_code == 403


async def test_post_of_an_own_page_is_taken(client: httpx.AsyncClient) -> None:
    answer = await client.post("/tasks/cancel", data={"uid": "1"}, headers={"origin": HERE})

    assert answer.status_code == 200
    assert "not taken back" in answer.text


async def test_every_answer_forbids_what_is_inline_or_of_others(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/healthz", "/tasks", "/nosuch", "/static/console.js"):
        headers = (await client.get(path)).headers

        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_page_that_there_is_not_is_a_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nosuch")

    assert answer.status_code == 404
    assert "Not Found." in answer.text
    assert "<nav" in answer.text


async def test_wrong_field_of_an_address_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/tasks?state=lost")

    assert answer.status_code == 400
    assert "<code>state</code>" in answer.text


async def test_body_that_is_no_form_is_a_sentence(client: httpx.AsyncClient) -> None:
    headers = {"origin": HERE, "hx-request": "true", "content-type": "multipart/form-data"}

    answer = await client.post("/playground", content=b"garbage", headers=headers)

    assert answer.status_code == 400
    assert answer.text.startswith('<p class="notice">')


async def test_model_that_is_too_large_is_refused_before_it_is_read(
    client: httpx.AsyncClient,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**20)

    headers = {"origin": HERE, "hx-request": "true", "content-length": str(6 * 2**30)}

    async with asyncio.timeout(5):
        answer = await client.post("/models", content=endless(), headers=headers)

    assert answer.status_code == 400
    assert "more than 5 GiB" in answer.text


async def test_page_says_in_a_sentence_that_the_stack_is_gone(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/tasks")

    assert answer.status_code == 503
    assert "The stack at http://127.0.0.1:9 does not answer" in answer.text
    assert "dr_key" not in answer.text
