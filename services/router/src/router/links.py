"""The files of a task: links to them, and their bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from contracts.ids import Uid
from ledger.port import Ledger
from ledger.record import Record
from router.domain import Reader
from router.look_up import task_not_found
from router.ports import Files
from servicekit.errors import FieldError, RejectedError

LONGEST_SECONDS: Final = 604_800  # what Signature Version 4 allows


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLinks:
    """Links in the order of the record; whoever has one can read the file."""

    image_url: tuple[str, ...]
    output_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFiles:
    """Makes links."""

    ledger: Ledger
    files: Files

    async def __call__(self, uid: Uid, seconds: int, reader: Reader) -> FileLinks:
        """Links that work for that time; none before the task has files.

        Raises `RejectedError` (`task_not_found`, `invalid_request`).
        """
        if not 1 <= seconds <= LONGEST_SECONDS:
            message = f"must be 1 to {LONGEST_SECONDS}"
            raise RejectedError(
                f"seconds {message}",
                code="invalid_request",
                errors=(FieldError("seconds", message),),
            )
        record = await _seen(self.ledger, uid, reader)
        output = record.output_url
        return FileLinks(
            image_url=tuple([await self.files.link(url, seconds) for url in record.image_url]),
            output_url=await self.files.link(output, seconds) if output else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """Reads one file."""

    ledger: Ledger
    files: Files

    async def __call__(
        self, uid: Uid, image: int | None, reader: Reader
    ) -> AsyncIterator[bytes]:
        """The image with this index, or the `.out` document, in parts.

        Raises `RejectedError` (`task_not_found`, `not_found`).
        """
        record = await _seen(self.ledger, uid, reader)
        if image is None:
            urls = [record.output_url] if record.output_url else []
        else:
            urls = list(record.image_url[image : image + 1]) if image >= 0 else []
        if not urls:
            raise RejectedError("the task has no such file", code="not_found")
        async for part in self.files.read(urls[0]):
            yield part


async def _seen(ledger: Ledger, uid: Uid, reader: Reader) -> Record:
    record = await ledger.get(uid)
    if record is None or not reader.may_see(record.tenant):
        raise task_not_found(uid)
    return record
