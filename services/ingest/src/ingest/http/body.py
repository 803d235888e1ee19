"""Reading a request's body: JSON only, and never more than fits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email.message import Message

from starlette.requests import ClientDisconnect, Request

from contracts.message import CONTENT_LIMIT_BYTES
from ingest.payload import invalid, too_large, wrong
from servicekit.errors import RejectedError


async def read_json(request: Request, patience: timedelta) -> bytes:
    """The body's bytes; raises `RejectedError`, and `ClientDisconnect` if nobody waits."""
    _check_media_type(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > CONTENT_LIMIT_BYTES:
        raise too_large()
    try:
        async with asyncio.timeout(patience.total_seconds()):
            return await _receive(request)
    except TimeoutError:
        late = f"did not arrive within {patience.total_seconds():g} s"
        raise invalid([wrong("body", late)]) from None


async def _receive(request: Request) -> bytes:
    chunks: list[bytes] = []
    length = 0
    while True:
        event = await request.receive()
        if event["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = event.get("body", b"")
        length += len(chunk)
        if length > CONTENT_LIMIT_BYTES:
            raise too_large()
        chunks.append(chunk)
        if not event.get("more_body", False):
            return b"".join(chunks)


def _check_media_type(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise RejectedError("the body must not be compressed", code="unsupported_media_type")
    text = request.headers.get("content-type", "")
    if text == "application/json":
        return
    header = Message()
    header["content-type"] = text
    kind, charset = header.get_content_type(), str(header.get_param("charset", "utf-8"))
    is_json = kind == "application/json" or kind.endswith("+json")
    if not is_json or charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise RejectedError(
            "the body must be application/json in UTF-8", code="unsupported_media_type"
        )
