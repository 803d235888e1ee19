"""`ModelBucket` on Amazon S3."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from awsio.errors import translated
from model_sync.domain import StoredFile

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


@dataclass(frozen=True, slots=True, kw_only=True)
class S3ModelBucket:
    """Lists in pages and reads ranges; a change between the two is seen at the next look."""

    client: S3Client
    bucket: str

    async def files(self) -> AsyncIterator[StoredFile]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        with translated("s3.list_objects"):
            async for page in pages:
                for item in page.get("Contents", []):
                    yield StoredFile(
                        key=item["Key"],
                        size_bytes=item["Size"],
                        tag=item.get("ETag", ""),
                        modified_at=item["LastModified"],
                    )

    async def read(self, file: StoredFile, start: int, length: int) -> bytes:
        if length == 0 or start >= file.size_bytes:
            return b""
        with translated("s3.get_object"):
            answer = await self.client.get_object(
                Bucket=self.bucket, Key=file.key, Range=f"bytes={start}-{start + length - 1}"
            )
            async with answer["Body"] as body:
                return await body.read()


@dataclass(frozen=True, slots=True, kw_only=True)
class S3UploadBucket:
    """Signs with the credentials of this process: a URL dies with them, if they die first."""

    client: S3Client
    bucket: str

    async def upload_url(self, key: str, size_bytes: int, lasts: timedelta) -> str:
        with translated("s3.presign"):
            return await self.client.generate_presigned_url(
                "put_object",
                # The length is signed, so that nothing larger is taken.
                Params={"Bucket": self.bucket, "Key": key, "ContentLength": size_bytes},
                ExpiresIn=int(lasts.total_seconds()),
            )
