from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from model_sync_fakes import FakeModelBucket, safetensors

from awsio import clients
from model_sync.adapters.s3 import S3ModelBucket
from model_sync.catalogue import Catalogue
from model_sync.ports import ModelBucket
from servicekit.errors import FatalError

Put = Callable[[str, bytes], Awaitable[None]]


@dataclass
class Store:
    """A bucket and the way to put something in."""

    bucket: ModelBucket
    put: Put


@pytest.fixture(params=["fake", "s3"])
async def store(
    request: pytest.FixtureRequest, bucket: FakeModelBucket, s3_bucket: str
) -> AsyncIterator[Store]:
    """Each bucket that must keep the contract."""
    if request.param == "fake":
        yield Store(bucket, bucket.put)
        return
    async with clients.s3() as s3:

        async def put(key: str, body: bytes) -> None:
            await s3.put_object(Bucket=s3_bucket, Key=key, Body=body)

        yield Store(S3ModelBucket(client=s3, bucket=s3_bucket), put)


async def test_an_empty_bucket_has_no_files(store: Store) -> None:
    assert [file async for file in store.bucket.files()] == []


async def test_every_object_is_listed_with_its_size(store: Store) -> None:
    await store.put("Lora/a.pt", b"four")
    await store.put("Lora/ä b.pt", b"")
    found = {file.key: file.size_bytes async for file in store.bucket.files()}
    assert found == {"Lora/a.pt": 4, "Lora/ä b.pt": 0}


async def test_the_tag_changes_with_the_bytes_only(store: Store) -> None:
    async def listed() -> object:
        (file,) = [file async for file in store.bucket.files()]
        return file

    await store.put("Lora/a.pt", b"four")
    first = await listed()
    await store.put("Lora/a.pt", b"four")
    assert await listed() == first
    await store.put("Lora/a.pt", b"five")
    assert await listed() != first


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 4, b"0123"), (4, 4, b"4567"), (8, 4, b"89"), (10, 4, b""), (3, 0, b"")],
)
async def test_a_range_is_read_and_ends_with_the_object(
    store: Store, start: int, length: int, expected: bytes
) -> None:
    await store.put("Lora/a.pt", b"0123456789")
    (file,) = [file async for file in store.bucket.files()]
    assert await store.bucket.read(file, start, length) == expected


async def test_a_catalogue_of_the_bucket_knows_good_files_from_bad_ones(store: Store) -> None:
    await store.put("Lora/good.safetensors", safetensors())
    await store.put("Lora/short.safetensors", b"x")
    catalogue = Catalogue(store.bucket, max_models=10)
    await catalogue.refresh()
    assert {model.name: model.problem for model in catalogue.models} == {
        "good.safetensors": None,
        "short.safetensors": "shorter than a safetensors header",
    }


async def test_a_bucket_that_does_not_exist_is_fatal(s3_bucket: str) -> None:
    async with clients.s3() as s3:
        bucket = S3ModelBucket(client=s3, bucket=f"{s3_bucket}-none")
        with pytest.raises(FatalError, match=r"s3\.list_objects"):
            await Catalogue(bucket, max_models=1).refresh()
