from __future__ import annotations

import gc
import os
import resource
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from queue_agent.files.body import (
    MEMORY_BYTES,
    FileBody,
    NoRoomError,
    check_room,
    open_body,
    save,
)

PART = bytes(range(256)) * 256  # 64 KiB


async def parts(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield PART


def ignore(_: int) -> None: ...


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("number", [0, 1, MEMORY_BYTES // len(PART)])
async def test_few_bytes_stay_in_memory(number: int) -> None:
    assert await save(parts(number), ignore) == PART * number


async def test_many_bytes_go_to_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    body = await save(parts(9), ignore)

    assert isinstance(body, FileBody)
    assert not os.listdir(tmp_path)
    assert (len(body), body.read()) == (len(PART) * 9, PART * 9)
    assert body.read(3, 9) == PART[3:9]


async def test_body_is_read_by_several_at_once() -> None:
    body = await save(parts(20), ignore)

    def read() -> bytes:
        with open_body(body) as reader:
            return b"".join(iter(lambda: reader.read(1000), b""))

    with ThreadPoolExecutor(4) as threads:
        assert {*threads.map(lambda _: read(), range(4))} == {PART * 20}


async def test_reader_knows_its_place_and_the_size() -> None:
    body = await save(parts(9), ignore)
    with open_body(body) as reader:
        assert reader.seek(-1, os.SEEK_END) == len(body) - 1
        assert (reader.read(), reader.read()) == (PART[-1:], b"")
        reader.seek(0)
        assert (reader.read(2), reader.tell()) == (PART[:2], 2)
        assert os.fstat(reader.fileno()).st_size == len(body)


async def test_size_is_counted_before_a_part_is_kept() -> None:
    seen = 0

    def take(size: int) -> None:
        nonlocal seen
        seen += size
        if seen > len(PART):
            raise ValueError("too large")

    with pytest.raises(ValueError, match="too large"):
        await save(parts(3), take)

    assert seen == 2 * len(PART)


async def test_file_goes_with_the_last_reference_to_it() -> None:
    body = await save(parts(9), ignore)
    reader = open_body(body)
    number = reader.fileno()

    del body
    gc.collect()
    assert reader.read(2) == PART[:2], "a reader keeps the file"
    del reader
    gc.collect()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


async def test_full_disk_is_told_and_no_room_is_found_until_there_is() -> None:
    check_room()
    with largest_file(len(PART) * 6):
        with pytest.raises(NoRoomError, match="File too large"):
            await save(parts(20), ignore)
        with pytest.raises(NoRoomError):
            check_room()
    check_room()


async def test_missing_folder_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")

    with pytest.raises(NoRoomError, match="No such file"):
        check_room()
