"""Reading results out of the output bucket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from awsio import clients
from awsio.errors import translated
from darkroom_cli.errors import CommandError
from servicekit.errors import AppError


async def read_object(url: str) -> bytes:
    """The content of an `s3://` object; raises `CommandError`."""
    parts = urlsplit(url)
    try:
        async with clients.s3() as s3:
            with translated("s3.get_object"):
                answer = await s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
                async with answer["Body"] as body:
                    return await body.read()
    except AppError as error:
        raise CommandError(f"cannot download {url}: {error}") from error


async def remove_object(url: str) -> None:
    """Delete an `s3://` object; raises our errors of AWS."""
    parts = urlsplit(url)
    async with clients.s3() as s3:
        with translated("s3.delete_object"):
            await s3.delete_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))


async def download(url: str, file: Path) -> None:
    """Write an `s3://` object to a file; raises `CommandError`."""
    await keep(await read_object(url), file)


async def keep(content: bytes, file: Path) -> None:
    """Write a file, and its folder if it is missing; raises `CommandError`."""
    try:
        await asyncio.to_thread(_write, file, content)
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from error


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
