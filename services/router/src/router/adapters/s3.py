"""`Claims` and `Files` on Amazon S3; the bucket's lifecycle removes claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from awsio.errors import translated
from contracts.ids import Key, Uid, claim_key

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


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

    async def link(self, url: str, seconds: int) -> str:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        with translated("s3.presign"):
            return await self.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )
