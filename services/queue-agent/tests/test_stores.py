"""S3 and HTTP as the agent uses them, against the emulator and a real server."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from awsio import clients
from contracts.ids import new_uid
from queue_agent.adapters.fetch_http import http_inputs
from queue_agent.adapters.fetch_s3 import S3InputReader
from queue_agent.adapters.s3 import S3ClaimStore, S3OutputStore
from queue_agent.domain import InputUnavailableError
from servicekit.errors import FatalError, TransientError

PATIENCE = timedelta(seconds=5)
Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


def any_size(_: int) -> None: ...


def at_most(limit: int) -> Callable[[int], None]:
    taken = 0

    def take(size: int) -> None:
        nonlocal taken
        taken += size
        if taken > limit:
            raise InputUnavailableError("too large")

    return take


@pytest.fixture
async def bucket(aws: str) -> AsyncIterator[str]:
    async with clients.s3() as s3:
        name = f"files-{new_uid().lower()}"
        await s3.create_bucket(Bucket=name)
        yield name


async def test_written_object_has_its_type_and_replaces_an_older_one(bucket: str) -> None:
    async with clients.s3() as s3:
        store = S3OutputStore(client=s3, bucket=bucket)

        for body in (b"old", b"new"):
            await store.write("a/b.png", body, "image/png")

        found = await s3.get_object(Bucket=bucket, Key="a/b.png")
        assert found["ContentType"] == "image/png"
        assert await S3ClaimStore(client=s3, bucket=bucket).read("a/b.png") == b"new"


async def test_missing_claim_may_still_come_but_a_missing_bucket_may_not(bucket: str) -> None:
    async with clients.s3() as s3:
        with pytest.raises(TransientError):
            await S3ClaimStore(client=s3, bucket=bucket).read("missing")
        with pytest.raises(FatalError):
            await S3OutputStore(client=s3, bucket="no-such").write("a", b"", "image/png")


async def test_s3_input_is_read_from_a_listed_bucket(bucket: str) -> None:
    async with clients.s3() as s3:
        await s3.put_object(Bucket=bucket, Key="dir/a?b#c.png", Body=b"abc")
        reader = S3InputReader(client=s3, buckets=frozenset({bucket}), patience=PATIENCE)

        assert await reader.read(f"s3://{bucket}/dir/a?b#c.png", at_most(3)) == b"abc"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://{bucket}/large", "too large"),
        ("s3://{bucket}/missing", "no such object"),
        ("s3://{bucket}/", "not s3://bucket/key"),
        ("s3://user@{bucket}/a", "not s3://bucket/key"),
        ("s3://private/a", "not one that inputs may come from"),
        ("s3://gone/a", "S3 refused it"),
    ],
)
async def test_s3_input_that_may_not_be_read_is_unavailable(
    bucket: str, url: str, reason: str
) -> None:
    async with clients.s3() as s3:
        await s3.put_object(Bucket=bucket, Key="large", Body=b"x" * 101)
        reader = S3InputReader(
            client=s3, buckets=frozenset({bucket, "gone"}), patience=PATIENCE
        )

        with pytest.raises(InputUnavailableError, match=reason) as caught:
            await reader.read(url.format(bucket=bucket), at_most(100))

    assert not caught.value.retryable


def to(location: str) -> Serve:
    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    return redirect


def answer(status: int, body: bytes = b"") -> Serve:
    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body)

    return respond


async def hang(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"part")
    await asyncio.Event().wait()
    return response


async def show_headers(request: web.Request) -> web.StreamResponse:
    return web.Response(text=" ".join(sorted(request.headers)))


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    routes = {
        "ok": answer(200, b"abc"),
        "large": answer(200, b"x" * 101),
        "missing": answer(404),
        "broken": answer(500),
        "hop": to("/ok?next"),
        "loop": to("/loop"),
        "file": to("file:///etc/passwd"),
        "s3": to("s3://private/a"),
        "credentials": to("http://user:pw@127.0.0.1/"),
        "nowhere": to(""),
        "hang": hang,
        "headers": show_headers,
    }
    app = web.Application()
    for name, respond in routes.items():
        app.router.add_get(f"/{name}", respond)
    started = TestServer(app, host="127.0.0.1")
    async with started:
        yield started


async def fetch(
    url: str, *, patience: timedelta = PATIENCE, allow_loopback: bool = True
) -> bytes:
    def allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return allow_loopback or not address.is_loopback

    async with http_inputs(patience=patience, redirects=2, allowed=allowed) as reader:
        return await reader.read(url, at_most(100))


@pytest.mark.parametrize("path", ["/ok", "/ok?sig=secret", "/hop"])
async def test_http_input_is_read_over_redirects(server: TestServer, path: str) -> None:
    assert await fetch(str(server.make_url(path))) == b"abc"


@pytest.mark.parametrize(
    ("path", "reason", "retryable"),
    [
        ("/large", "too large", False),
        ("/missing", "the answer was 404", False),
        ("/broken", "the answer was 500", True),
        ("/loop", "more than 2 redirects", False),
        ("/file", "something else than http", False),
        ("/s3", "something else than http", False),
        ("/credentials", "has credentials", False),
        ("/nowhere", "more than 2 redirects", False),
    ],
)
async def test_http_input_that_cannot_be_had_is_unavailable(
    server: TestServer, path: str, reason: str, retryable: bool
) -> None:
    with pytest.raises(InputUnavailableError, match=reason) as caught:
        await fetch(str(server.make_url(path)))

    assert caught.value.retryable is retryable


async def test_slow_http_input_is_given_up(server: TestServer) -> None:
    url = str(server.make_url("/hang"))

    with pytest.raises(InputUnavailableError, match="too long"):
        await fetch(url, patience=timedelta(milliseconds=50))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_address_that_is_not_allowed_is_not_asked(server: TestServer, host: str) -> None:
    with pytest.raises(InputUnavailableError):
        await fetch(f"http://{host}:{server.port}/ok", allow_loopback=False)


async def test_proxies_of_the_environment_are_not_used(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")

    assert await fetch(str(server.make_url("/ok"))) == b"abc"


async def test_nothing_of_ours_is_sent_along(server: TestServer) -> None:
    sent = (await fetch(str(server.make_url("/headers")))).decode()

    assert "Authorization" not in sent
    assert "Cookie" not in sent


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a?sig=secret", "http://[broken?sig=secret"]
)
async def test_refused_connection_shows_no_query(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(InputUnavailableError) as caught:
        await fetch(url)

    assert "secret" not in str(caught.value) + caplog.text
