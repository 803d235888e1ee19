"""Reading a request's body: JSON only, and never more than fits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from email.message import Message
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from contracts.message import CONTENT_LIMIT_BYTES
from ingest.bodies import Bodies, late
from ingest.payload import checked, invalid, parse_object, too_large
from servicekit.errors import RejectedError

M = TypeVar("M", bound=BaseModel)


async def read_json(
    request: Request,
    patience: timedelta,
    take: Callable[[int], None],
    *,
    of_any_type: bool = False,
) -> bytes:
    """The body's bytes, with `take` called before they are read.

    `of_any_type` is for clients that do not say what they send.

    Raises `RejectedError`, what `take` raises, and `ClientDisconnect` if nobody waits.
    """
    if not of_any_type:
        _check_media_type(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        if int(declared) > CONTENT_LIMIT_BYTES:
            raise too_large()
        take(int(declared))
    try:
        async with asyncio.timeout(patience.total_seconds()):
            return await _receive(request, _taken if declared.isdecimal() else take)
    except TimeoutError:
        raise late(patience) from None


async def read_model(kind: type[M], request: Request, bodies: Bodies) -> M:
    """The body as a checked value; raises as `read_json` does."""
    with bodies.room() as take:
        body = await read_json(request, bodies.patience, take)
        found, errors = checked(kind, parse_object(body))
    if found is None:
        raise invalid(errors)
    return found


def _taken(_: int) -> None:
    """Count nothing: the server reads no more than was declared."""


async def _receive(request: Request, take: Callable[[int], None]) -> bytes:
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
        take(len(chunk))
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
