"""Inputs over HTTP, against real servers."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from input_servers import FakeResolver, fetch

from egress.addresses import AddressRules
from queue_agent.domain import InputUnavailableError
from queue_agent.settings import USER_AGENT
from servicekit.listen import free_port

HERE = AddressRules.read(["127.0.0.1/32"])
Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


def to(location: str) -> Serve:
    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    return redirect


def answer(status: int, body: bytes = b"", **headers: str) -> Serve:
    given = {name.replace("_", "-"): value for name, value in headers.items()}

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=given)

    return respond


async def hang(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"part")
    await asyncio.Event().wait()
    return response


async def show_headers(request: web.Request) -> web.StreamResponse:
    text = " ".join(f"{name}={value}" for name, value in sorted(request.headers.items()))
    return web.Response(body=text.encode())


async def show_query(request: web.Request) -> web.StreamResponse:
    return web.Response(body=request.raw_path.encode())


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    routes = {
        "ok": answer(200, b"abc", Content_Type="image/png; q=1"),
        "untyped": answer(200, b"abc"),
        "page": answer(200, b"<html>", Content_Type="text/html"),
        "json": answer(200, b"{}", Content_Type="application/json; charset=utf-8"),
        "problem": answer(200, b"{}", Content_Type="application/problem+json"),
        "text": answer(200, b"abc", Content_Type="text/plain"),
        "stream": answer(200, b"abc", Content_Type="application/octet-stream"),
        "glTF": answer(200, b"abc", Content_Type="model/gltf+json"),
        "blanks": to("/my photo.png?a= b"),
        "umlaut": to("/Bild \u00e4\u20ac.png"),
        "around": to("  /ok  "),
        "packed": answer(200, gzip.compress(b"x" * 9999), Content_Encoding="gzip"),
        "large": answer(200, b"x" * 101),
        "missing": answer(404),
        "broken": answer(500),
        "hop": to("/ok?next"),
        "hang": hang,
        "headers": show_headers,
        "query": show_query,
    }
    app = web.Application()
    for name, respond in routes.items():
        app.router.add_get(f"/{name}", respond)
    app.router.add_get("/{other}.png", show_query)
    started = TestServer(app, host="127.0.0.1")
    async with started:
        yield started


@pytest.mark.parametrize(
    "path", ["/ok", "/ok?sig=1", "/hop", "/around", "/untyped", "/text", "/stream", "/glTF"]
)
async def test_input_is_read_over_redirects(server: TestServer, path: str) -> None:
    assert await fetch(str(server.make_url(path)), HERE) == b"abc"


@pytest.mark.parametrize(
    ("path", "reason", "retryable"),
    [
        ("/large", "too large", False),
        ("/missing", "the answer was 404", False),
        ("/broken", "the answer was 500", True),
        ("/page", "the answer is a page", False),
        ("/json", "the answer is a page or JSON", False),
        ("/problem", "the answer is a page or JSON", False),
        ("/packed", "the answer is packed", False),
    ],
)
async def test_input_that_cannot_be_had_is_unavailable(
    server: TestServer, path: str, reason: str, retryable: bool
) -> None:
    with pytest.raises(InputUnavailableError, match=reason) as caught:
        await fetch(str(server.make_url(path)), HERE)

    assert caught.value.retryable is retryable


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/blanks", "/my%20photo.png?a=%20b"),
        ("/umlaut", "/Bild%20%C3%A4%E2%82%AC.png"),
    ],
)
async def test_redirect_is_followed_as_browsers_do(
    server: TestServer, path: str, asked: str
) -> None:
    assert (await fetch(str(server.make_url(path)), HERE)).decode() == asked


async def test_server_is_told_who_asks(server: TestServer) -> None:
    async def refuse_unknown(request: web.Request) -> web.Response:
        known = request.headers["User-Agent"].startswith("Darkroom/")
        return web.Response(status=200 if known else 403, body=b"abc")

    app = web.Application()
    app.router.add_get("/", refuse_unknown)
    async with TestServer(app, host="127.0.0.1") as wary:
        assert await fetch(str(wary.make_url("/")), HERE) == b"abc"


async def test_slow_input_is_given_up(server: TestServer) -> None:
    url = str(server.make_url("/hang"))

    with pytest.raises(InputUnavailableError, match="too long"):
        await fetch(url, HERE, patience=timedelta(milliseconds=50))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_not_asked_unless_it_is_listed(server: TestServer, host: str) -> None:
    with pytest.raises(InputUnavailableError, match="loopback"):
        await fetch(f"http://{host}:{server.port}/ok", AddressRules())


async def test_second_answer_of_the_dns_changes_nothing() -> None:
    """Rebinding: the name is good when it is checked, and ours when it is connected to."""
    port, reached = free_port(), []

    def serving(address: str) -> TestServer:
        async def respond(request: web.Request) -> web.Response:
            reached.append((address, request.headers["Host"]))
            return web.Response(status=302, headers={"Location": "/again"})

        app = web.Application()
        app.router.add_get("/{path}", respond)
        return TestServer(app, host=address, port=port)

    rules = AddressRules.read(["127.0.0.2/32"])
    resolver = FakeResolver(answers=[["127.0.0.2"], ["127.0.0.1"]])
    async with serving("127.0.0.1"), serving("127.0.0.2"):
        with pytest.raises(InputUnavailableError, match="loopback"):
            await fetch(f"http://rebind.example:{port}/a", rules, resolver)

    # One question for each hop, and the second hop was refused before anything was connected.
    assert resolver.asked == ["rebind.example", "rebind.example"]
    assert reached == [("127.0.0.2", f"rebind.example:{port}")]


async def test_name_is_resolved_once_and_the_answer_connected_to(server: TestServer) -> None:
    resolver = FakeResolver(answers=[["127.0.0.1"], ["10.0.0.1"]])

    body = await fetch(f"http://once.example:{server.port}/ok", HERE, resolver)

    assert body == b"abc"
    assert resolver.asked == ["once.example"]


async def test_proxies_of_the_environment_are_not_used(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")

    assert await fetch(str(server.make_url("/ok")), HERE) == b"abc"


async def test_nothing_of_ours_is_sent_along(server: TestServer) -> None:
    sent = (await fetch(str(server.make_url("/headers")), HERE, limit=1000)).decode()

    assert "Accept-Encoding=identity" in sent
    assert f"User-Agent={USER_AGENT}" in sent
    assert "Authorization" not in sent
    assert "Cookie" not in sent


async def test_signature_arrives_as_it_was_written(server: TestServer) -> None:
    path = "/query?X-Amz-Credential=A%2FB&sig=a%2Bb%3D&c=%7e"

    sent = await fetch(f"http://127.0.0.1:{server.port}{path}", HERE)

    assert sent.decode() == path


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a?sig=secret", "http://[broken?sig=secret"]
)
async def test_refused_connection_shows_no_query(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(InputUnavailableError) as caught:
        await fetch(url, HERE)

    assert "secret" not in str(caught.value) + caplog.text
