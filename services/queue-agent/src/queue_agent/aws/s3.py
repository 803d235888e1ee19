"""`OutputStore` and `ClaimStore` on Amazon S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from awsio.errors import translated
from contracts.places import listings_key
from queue_agent.domain import TaskFailedError, UnworkableError
from queue_agent.files.body import Body, as_payload
from servicekit.errors import TransientError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


_OWNER: Final = "darkroom-owner"
_DIGEST: Final = "darkroom-digest"
# S3 says the latter to a role that may not list the bucket.
_ABSENT: Final = frozenset({"404", "403"})
CLAIM_BYTES: Final = 24 * 2**20  # the largest message of the router


@dataclass(frozen=True, slots=True, kw_only=True)
class S3OutputStore:
    """Writes objects of one bucket; their metadata says whose they are."""

    client: S3Client
    bucket: str

    async def write(
        self, key: str, body: Body, content_type: str, owner: str, *, anyway: bool = False
    ) -> str:
        condition = {} if anyway else {"IfNoneMatch": "*"}
        try:
            await self._put(key, body, content_type, owner, **condition)
        except TransientError as error:
            if error.details.get("code") != "PreconditionFailed":
                raise
        else:
            return owner
        found = await self._owner(key)
        if found == owner:
            await self._put(key, body, content_type, owner)
        return found

    async def _put(
        self, key: str, body: Body, content_type: str, owner: str, **condition: Any
    ) -> None:
        with translated("s3.write"), as_payload(body) as sent:
            await self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=sent,
                ContentType=content_type,
                Metadata={_OWNER: owner},
                **condition,
            )

    async def _owner(self, key: str) -> str:
        try:
            with translated("s3.owner"):
                found = await self.client.head_object(Bucket=self.bucket, Key=key)
        except TransientError as error:
            if error.details.get("code") == "403":
                return ""  # the role may not know: then it is as if it were somebody else's
            raise
        return found["Metadata"].get(_OWNER, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3ListingStore:
    """One object of the output bucket for each runtime; its metadata has the digest."""

    client: S3Client
    bucket: str
    runtime: str

    async def keep(self, text: bytes, digest: str) -> None:
        key = listings_key(self.runtime)
        try:
            with translated("s3.listings"):
                found = await self.client.head_object(Bucket=self.bucket, Key=key)
        except TransientError as error:
            if error.details.get("code") not in _ABSENT:
                raise
        else:
            if found["Metadata"].get(_DIGEST) == digest:
                return
        with translated("s3.listings"):
            await self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=text,
                ContentType="application/gzip",
                Metadata={_DIGEST: digest},
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3ClaimStore:
    """Reads objects of one bucket, if they are no larger than any that the router writes."""

    client: S3Client
    bucket: str

    async def read(self, key: str) -> bytes:
        try:
            with translated("s3.claim"):
                answer = await self.client.get_object(Bucket=self.bucket, Key=key)
                async with answer["Body"] as stream:
                    if answer["ContentLength"] > CLAIM_BYTES:
                        raise UnworkableError(f"the body has more than {CLAIM_BYTES} bytes")
                    return await stream.read()
        except TransientError as error:
            if error.details.get("code") != "NoSuchKey":
                raise
            # It was written before its message, so it does not come any more.
            raise TaskFailedError(
                "the content of the task is kept no more: submit it again",
                code="input_unavailable",
                retryable=True,
            ) from error
