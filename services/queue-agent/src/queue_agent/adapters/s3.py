"""`OutputStore` and `ClaimStore` on Amazon S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from awsio.errors import translated

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


@dataclass(frozen=True, slots=True, kw_only=True)
class S3OutputStore:
    """Writes objects of one bucket."""

    client: S3Client
    bucket: str

    async def write(self, key: str, body: bytes, content_type: str) -> None:
        with translated("s3.write"):
            await self.client.put_object(
                Bucket=self.bucket, Key=key, Body=body, ContentType=content_type
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3ClaimStore:
    """Reads objects of one bucket."""

    client: S3Client
    bucket: str

    async def read(self, key: str) -> bytes:
        with translated("s3.claim"):
            answer = await self.client.get_object(Bucket=self.bucket, Key=key)
            async with answer["Body"] as stream:
                return await stream.read()
