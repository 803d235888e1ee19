"""What becomes of a file on its way to the model bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import BinaryIO

import pytest

from darkroom_client import DarkroomError, Forbidden
from darkroom_console.stack import NotToldError
from darkroom_console.uploads import KEPT, Progress, Upload, Uploads, uploads


async def stored(file: BinaryIO, progress: Progress) -> None:
    progress(2, 4)


def failing(error: Exception) -> Callable[[BinaryIO, Progress], Awaitable[None]]:
    async def send(file: BinaryIO, progress: Progress) -> None:
        raise error

    return send


async def ended(running: Uploads, key: str) -> Upload:
    upload = running.get(key)
    assert upload is not None
    async with asyncio.timeout(5):
        await upload.over.wait()
    return upload


async def test_file_is_closed_when_it_is_there() -> None:
    file = BytesIO(b"abcd")
    async with uploads() as running:
        key = running.start("Lora/a.safetensors", 4, file, stored)

        upload = await ended(running, key)

    assert (upload.sent, upload.error) == (2, "")
    assert file.closed


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Forbidden("the key may not do this"), "the key may not do this"),
        (DarkroomError("no room"), "no room"),
        (NotToldError(), "this stack takes no uploads"),
    ],
)
async def test_failure_is_a_sentence(error: Exception, said: str) -> None:
    async with uploads() as running:
        key = running.start("Lora/a.safetensors", 4, BytesIO(b"abcd"), failing(error))

        upload = await ended(running, key)

    assert said in upload.error


async def test_upload_ends_with_the_console() -> None:
    begun = asyncio.Event()
    file = BytesIO(b"abcd")

    async def endless(file: BinaryIO, progress: Progress) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(5), uploads() as running:
        running.start("Lora/a.safetensors", 4, file, endless)
        await begun.wait()

    assert file.closed


async def test_old_ones_are_forgotten() -> None:
    async with uploads() as running:
        first = running.start("Lora/a.safetensors", 4, BytesIO(), stored)
        await ended(running, first)
        for _ in range(KEPT + 1):
            await ended(running, running.start("Lora/b.safetensors", 4, BytesIO(), stored))

        assert running.get(first) is None
