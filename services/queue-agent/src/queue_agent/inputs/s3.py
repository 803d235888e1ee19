"""`InputReader` for `s3://` URLs of buckets that the operator has listed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

from awsio.errors import translated
from queue_agent.domain import InputUnavailableError
from queue_agent.files.body import Body, save
from queue_agent.ports import Take
from servicekit.errors import FatalError, TransientError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_PART_BYTES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class S3InputReader:
    """Reads objects within a time; the process's own rights end at the listed buckets."""

    client: S3Client
    buckets: frozenset[str]
    patience: timedelta

    async def read(self, url: str, take: Take) -> Body:
        bucket, key = _split(url)
        if bucket not in self.buckets:
            raise InputUnavailableError("the bucket is not one that inputs may come from")
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                return await self._read(bucket, key, take)
        except TimeoutError as error:
            raise InputUnavailableError("it took too long", retryable=True) from error
        except FatalError as error:
            raise InputUnavailableError("S3 refused it") from error
        except TransientError as error:
            missing = _is_missing(error)
            reason = "there is no such object" if missing else "S3 did not give it"
            raise InputUnavailableError(reason, retryable=not missing) from error

    async def _read(self, bucket: str, key: str, take: Take) -> Body:
        """The object of this very name; what is left of percent signs only if there is none."""
        try:
            return await self._get(bucket, key, take)
        except TransientError as error:
            plain = unquote(key)
            if plain == key or not _is_missing(error):
                raise
        return await self._get(bucket, plain, take)

    async def _get(self, bucket: str, key: str, take: Take) -> Body:
        with translated("s3.input"):
            answer = await self.client.get_object(Bucket=bucket, Key=key)
            async with answer["Body"] as stream:
                return await save(stream.iter_chunks(_PART_BYTES), take)


def _is_missing(error: TransientError) -> bool:
    return error.details.get("code") == "NoSuchKey"


def _split(url: str) -> tuple[str, str]:
    # By hand: a key may hold `?` and `#`, and a parser would drop some characters in silence.
    bucket, _, key = url.partition("://")[2].partition("/")
    if not bucket or not key or "@" in bucket:
        raise InputUnavailableError("the URL is not s3://bucket/key")
    return bucket, key
