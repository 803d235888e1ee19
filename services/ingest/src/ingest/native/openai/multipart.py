"""Forms with files, as `images/edits` sends them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any, Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from contracts.message import CONTENT_LIMIT_BYTES
from ingest.bodies import late
from ingest.payload import invalid, too_large, wrong
from servicekit.errors import RejectedError

MOST_FILES: Final = 16
MOST_FIELDS: Final = 64


async def read_form(
    request: Request, patience: timedelta, take: Callable[[int], None]
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The fields and, by name, the files in base64; `take` is called for what is read.

    Raises `RejectedError` and what `take` raises.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RejectedError(
            "the body must be multipart/form-data", code="unsupported_media_type"
        )
    parser = MultiPartParser(
        request.headers,
        _bounded(request, take),
        max_files=MOST_FILES,
        max_fields=MOST_FIELDS,
        max_part_size=CONTENT_LIMIT_BYTES,
    )
    try:
        async with asyncio.timeout(patience.total_seconds()):
            form = await parser.parse()
    except TimeoutError:
        raise late(patience) from None
    except MultiPartException as error:
        raise invalid([wrong("body", f"is no form: {error.message}")]) from None
    fields: dict[str, Any] = {}
    files: dict[str, list[str]] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                text = b64encode(await value.read()).decode()
                files.setdefault(name.removesuffix("[]"), []).append(text)
            else:
                fields[name] = value
    finally:
        await form.close()
    return fields, files


async def _bounded(
    request: Request, take: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > CONTENT_LIMIT_BYTES:
            raise too_large()
        take(2 * len(part))  # it is kept as base64, too
        yield part
