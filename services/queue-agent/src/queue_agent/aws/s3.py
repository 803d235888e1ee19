"""`OutputStore` and `ClaimStore` on Amazon S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from awsio.errors import translated
from queue_agent.domain import UnworkableError
from queue_agent.files.body import Body, as_payload

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


CLAIM_BYTES: Final = 24 * 2**20  # the largest message of the router


@dataclass(frozen=True, slots=True, kw_only=True)
class S3OutputStore:
    """Writes objects of one bucket."""

    client: S3Client
    bucket: str

    async def write(self, key: str, body: Body, content_type: str) -> None:
        with translated("s3.write"), as_payload(body) as sent:
            await self.client.put_object(
                Bucket=self.bucket, Key=key, Body=sent, ContentType=content_type
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3ClaimStore:
    """Reads objects of one bucket, if they are no larger than any that the router writes."""

    client: S3Client
    bucket: str

    async def read(self, key: str) -> bytes:
        with translated("s3.claim"):
            answer = await self.client.get_object(Bucket=self.bucket, Key=key)
            async with answer["Body"] as stream:
                if answer["ContentLength"] > CLAIM_BYTES:
                    raise UnworkableError(f"the body has more than {CLAIM_BYTES} bytes")
                return await stream.read()
