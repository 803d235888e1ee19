"""`Claims` and `Files` on Amazon S3; the bucket's lifecycle removes claims."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from awsio.errors import translated
from contracts.ids import Key, Uid, claim_key
from contracts.places import LISTINGS_BYTES, listings_key
from servicekit.errors import AppError, RejectedError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# S3 says the latter to a role that may not list the bucket.
_ABSENT: Final = frozenset({"NoSuchKey", "AccessDenied"})
PART: Final = 256 * 2**10  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Claims:
    """One object for each large body, named by uid, so that a repeated call writes the same."""

    client: S3Client
    bucket: str

    async def put(self, uid: Uid, content_json: bytes) -> Key:
        key = claim_key(uid)
        with translated("s3.put_object"):
            await self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=content_json,
                ContentType="application/json",
            )
        return key

    async def get(self, key: Key) -> bytes:
        with translated("s3.get_object"):
            answer = await self.client.get_object(Bucket=self.bucket, Key=key)
            async with answer["Body"] as body:
                return await body.read()


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Files:
    """Signs with the credentials of this process: a URL dies with them, if they die first."""

    client: S3Client
    bucket: str  # of the results

    async def link(self, url: str, seconds: int) -> str:
        bucket, key = _place(url)
        with translated("s3.presign"):
            return await self.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )

    async def listings(self, runtime: str, etag: str) -> tuple[str, bytes]:
        try:
            return await self._listings(listings_key(runtime), etag)
        except AppError as error:
            code = error.details.get("code")
            if code == "304":
                return etag, b""
            if code not in _ABSENT:
                raise
        raise RejectedError("no agent has seen the runtime", code="not_found")

    async def _listings(self, key: str, etag: str) -> tuple[str, bytes]:
        with translated("s3.listings"):
            found = await self.client.get_object(
                Bucket=self.bucket, Key=key, IfNoneMatch=etag or '"none"'
            )
            async with found["Body"] as body:
                if found["ContentLength"] > LISTINGS_BYTES:
                    raise RejectedError("the listings are too long", code="not_found")
                return found["ETag"], await body.read()

    async def read(self, url: str) -> AsyncIterator[bytes]:
        bucket, key = _place(url)
        with translated("s3.get_object"):
            try:
                answer = await self.client.get_object(Bucket=bucket, Key=key)
            except self.client.exceptions.NoSuchKey:
                raise RejectedError("the file was removed", code="not_found") from None
            async with answer["Body"] as body:
                async for part in body.iter_chunks(PART):
                    yield part


def _place(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
