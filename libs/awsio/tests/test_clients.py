from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from awsio import clients
from awsio.errors import translated
from servicekit.errors import TransientError


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


@pytest.fixture
async def breaking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """An S3 whose answers end halfway."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield


@pytest.mark.usefixtures("breaking")
async def test_a_body_that_breaks_off_is_transient() -> None:
    async with clients.s3() as s3:
        answer = await s3.get_object(Bucket="bucket", Key="key")

        with pytest.raises(TransientError, match=r"for s3\.claim"), translated("s3.claim"):
            async with answer["Body"] as stream:
                await stream.read()


@pytest.mark.parametrize("region", ["eu-west-1", "me-south-1", "cn-north-1"])
async def test_a_link_names_the_region(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", region)

    async with clients.s3(signs_links=True) as s3:
        link = await s3.generate_presigned_url(
            "get_object", Params={"Bucket": "outputs", "Key": "a.png"}
        )

    assert link.startswith(f"https://outputs.s3.{region}.amazonaws.com")
