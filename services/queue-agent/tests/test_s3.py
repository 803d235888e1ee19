"""S3 as the agent uses it, against the emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from awsio import clients
from contracts.ids import new_uid
from queue_agent.aws.s3 import S3ClaimStore, S3OutputStore
from queue_agent.domain import InputUnavailableError, TaskFailedError
from queue_agent.inputs.s3 import S3InputReader
from servicekit.errors import FatalError

PATIENCE = timedelta(seconds=5)


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
            assert await store.write("a/b.png", body, "image/png", "one") == "one"

        found = await s3.get_object(Bucket=bucket, Key="a/b.png")
        assert found["ContentType"] == "image/png"
        assert await S3ClaimStore(client=s3, bucket=bucket).read("a/b.png") == b"new"


async def test_an_object_of_another_owner_is_left_alone(bucket: str) -> None:
    async with clients.s3() as s3:
        store = S3OutputStore(client=s3, bucket=bucket)
        await store.write("a/b.png", b"first", "image/png", "one")
        await s3.put_object(Bucket=bucket, Key="foreign.png", Body=b"foreign")

        assert await store.write("a/b.png", b"second", "image/png", "two") == "one"
        assert await store.write("foreign.png", b"second", "image/png", "two") == ""

        claims = S3ClaimStore(client=s3, bucket=bucket)
        assert await claims.read("a/b.png") == b"first"
        assert await claims.read("foreign.png") == b"foreign"
        assert await store.write("a/b.png", b"2", "image/png", "two", anyway=True) == "two"
        assert await claims.read("a/b.png") == b"2"


async def test_missing_claim_is_the_tasks_failure_and_a_missing_bucket_is_not(
    bucket: str,
) -> None:
    async with clients.s3() as s3:
        with pytest.raises(TaskFailedError, match="kept no more") as caught:
            await S3ClaimStore(client=s3, bucket=bucket).read("missing")
        assert caught.value.failure.code == "input_unavailable"
        with pytest.raises(FatalError):
            await S3ClaimStore(client=s3, bucket="no-such").read("missing")
        with pytest.raises(FatalError):
            await S3OutputStore(client=s3, bucket="no-such").write("a", b"", "image/png", "one")


async def test_s3_input_is_read_from_a_listed_bucket(bucket: str) -> None:
    async with clients.s3() as s3:
        await s3.put_object(Bucket=bucket, Key="dir/a?b#c.png", Body=b"abc")
        reader = S3InputReader(client=s3, buckets=frozenset({bucket}), patience=PATIENCE)

        assert await reader.read(f"s3://{bucket}/dir/a?b#c.png", at_most(3)) == b"abc"


KEYS = ("my photo.png", "100%.png", "a%20b.png", "a?b=c&d#e.png", "\u00e4\u20ac.png", "a+b ")


@pytest.mark.parametrize("key", KEYS)
async def test_key_is_what_follows_the_bucket(bucket: str, key: str) -> None:
    async with clients.s3() as s3:
        await s3.put_object(Bucket=bucket, Key=f"in/{key}", Body=b"abc")
        await s3.put_object(Bucket=bucket, Key="in/a b.png", Body=b"another")
        reader = S3InputReader(client=s3, buckets=frozenset({bucket}), patience=PATIENCE)

        assert await reader.read(f"s3://{bucket}/in/{key}", at_most(3)) == b"abc"


async def test_key_is_decoded_only_if_there_is_none_of_that_name(bucket: str) -> None:
    async with clients.s3() as s3:
        await s3.put_object(Bucket=bucket, Key="in/my photo+1.png", Body=b"abc")
        reader = S3InputReader(client=s3, buckets=frozenset({bucket}), patience=PATIENCE)

        found = await reader.read(f"s3://{bucket}/in/my%20photo+1.png", at_most(3))

        assert found == b"abc"
        with pytest.raises(InputUnavailableError, match="no such object"):
            await reader.read(f"s3://{bucket}/in/my%20other.png", at_most(3))


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
