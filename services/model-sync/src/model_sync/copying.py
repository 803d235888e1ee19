"""Copies the model bucket into a folder: onto the disks of a GPU node, for example."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock

from model_sync.domain import StoredFile, place
from model_sync.ports import ModelBucket, ModelDownloads
from servicekit.errors import FatalError

log = logging.getLogger(__name__)

PARTIAL = ".partial"  # what is not whole yet; on the same disk, so that it can be moved
TELL_SECONDS = 10.0
MEGABYTE = 1_000_000


@dataclass(slots=True)
class Copied:
    """What a copy took; `present` are files that were there already."""

    files: int = 0
    bytes: int = 0
    present: int = 0
    skipped: list[str] = field(default_factory=list)  # keys that no folder can hold


async def copy_models(
    bucket: ModelBucket,
    downloads: ModelDownloads,
    folder: Path,
    *,
    keys: Sequence[str] = (),
    max_files: int,
) -> Copied:
    """Make `folder` hold each object of the bucket under its key.

    With `keys`, only objects whose key matches one of these shell patterns, in which `*` stands
    for slashes as well; each must match some object, or its models are missed without a word.

    A file with the size and the time of its object is left as it is, so a copy that broke off
    goes on where it was. Raises `TransientError`, and `FatalError` if there is too little room
    or more than `max_files` objects.
    """
    copied = Copied()
    missing = await _missing(_wanted(bucket, keys), folder, max_files, copied)
    _check_room(folder, sum(file.size_bytes for file, _ in missing))
    partial = folder / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    async with _telling(copied, missing) as arrived:
        for file, path in missing:
            await asyncio.to_thread(_fetch, downloads, file, path, partial, arrived)
            copied.files += 1
    return copied


async def _wanted(bucket: ModelBucket, keys: Sequence[str]) -> AsyncIterator[StoredFile]:
    unmatched = set(keys)
    async for file in bucket.files():
        matching = {pattern for pattern in keys if fnmatchcase(file.key, pattern)}
        unmatched -= matching
        if matching or not keys:
            yield file
    if unmatched:
        raise FatalError(
            f"no object of the bucket has a key such as {', '.join(sorted(unmatched))}"
        )


async def _missing(
    wanted: AsyncIterator[StoredFile], folder: Path, max_files: int, copied: Copied
) -> list[tuple[StoredFile, Path]]:
    missing: list[tuple[StoredFile, Path]] = []
    async for file in wanted:
        where = place(file.key)
        if where is None:
            if not file.key.endswith("/"):  # an empty folder is no loss
                log.warning("object has no place in a folder", extra={"key": file.key})
                copied.skipped.append(file.key)
        elif _is_there(file, folder / where):
            copied.present += 1
        else:
            missing.append((file, folder / where))
        if len(missing) + copied.present + len(copied.skipped) > max_files:
            raise FatalError(f"the bucket has more than {max_files} objects")
    return missing


def _is_there(file: StoredFile, path: Path) -> bool:
    with suppress(OSError):
        found = path.stat()
        same_time = int(found.st_mtime) == int(file.modified_at.timestamp())
        return path.is_file() and found.st_size == file.size_bytes and same_time
    return False


def _check_room(folder: Path, needed: int) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise FatalError(f"{folder} cannot be used: {error.strerror}") from error
    if needed > free:
        raise FatalError(
            f"{folder} has {free // MEGABYTE} MB of room,"
            f" and the models need {needed // MEGABYTE} MB more"
        )


def _fetch(
    downloads: ModelDownloads,
    file: StoredFile,
    path: Path,
    partial: Path,
    arrived: Callable[[int], None],
) -> None:
    try:
        partial.mkdir(exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        downloads.fetch(file.key, partial / "file", arrived)
        time = file.modified_at.timestamp()
        os.utime(partial / "file", (time, time))
        (partial / "file").replace(path)
        partial.rmdir()
    except OSError as error:
        raise FatalError(f"{file.key} cannot be stored: {error.strerror}") from error


@asynccontextmanager
async def _telling(
    copied: Copied, missing: list[tuple[StoredFile, Path]]
) -> AsyncIterator[Callable[[int], None]]:
    """Say every few seconds how far it is."""
    total = sum(file.size_bytes for file, _ in missing)
    counting = Lock()  # parts arrive in threads of their own

    def arrived(count: int) -> None:
        with counting:
            copied.bytes += count

    async def tell() -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            log.info("copying", extra={"bytes": copied.bytes, "of": total})

    task = asyncio.create_task(tell(), name="telling")
    try:
        yield arrived
    finally:
        task.cancel()
