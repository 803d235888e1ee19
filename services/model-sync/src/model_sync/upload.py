"""Letting somebody else put a model file into the bucket, by a URL that takes just that."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from model_sync.domain import split_key
from model_sync.ports import UploadBucket
from modelfiles.formats import LISTED
from modelfiles.names import check_name
from servicekit.errors import FieldError, RejectedError

LARGEST: Final = 5 * 2**30  # bytes of one PUT
LASTS: Final = timedelta(hours=1)
LONGEST_KEY: Final = 1024  # bytes


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Where a file is sent by PUT."""

    url: str = field(repr=False)  # whoever has it may send
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareUpload:
    """Signs URLs; nothing is stored by that."""

    bucket: UploadBucket
    now: Callable[[], datetime] = _now

    async def __call__(self, name: str, size_bytes: int) -> Upload:
        """A URL for a file of that name and size.

        Raises `RejectedError` for a name that no model may have, or a size that is none.
        """
        if not 1 <= size_bytes <= LARGEST:
            raise _invalid("bytes", f"must be 1 to {LARGEST}")
        folder, _, filename = name.partition("/")
        try:
            check_name(folder, filename)
        except ValueError as error:
            raise _invalid("name", f"is none such as Lora/a.safetensors: {error}") from None
        wrong = any(unicodedata.category(character).startswith("C") for character in name)
        if wrong or len(name.encode(errors="replace")) > LONGEST_KEY:
            raise _invalid("name", f"must be up to {LONGEST_KEY} bytes, none of control")
        if split_key(name) is None:
            raise _invalid("name", f"is of no format that runtimes read: {LISTED}")
        now = self.now()
        url = await self.bucket.upload_url(name, size_bytes, LASTS)
        return Upload(url=url, expires_at=now + LASTS)


def _invalid(field: str, message: str) -> RejectedError:
    return RejectedError(
        f"{field} {message}",
        code="invalid_request",
        errors=(FieldError(field, f"{field} {message}"),),
    )
