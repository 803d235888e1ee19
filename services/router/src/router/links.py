"""Download links for the files of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.ids import Uid
from ledger.port import Ledger
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
        record = await self.ledger.get(uid)
        if record is None or not reader.may_see(record.tenant):
            raise task_not_found(uid)
        output = record.output_url
        return FileLinks(
            image_url=tuple([await self.files.link(url, seconds) for url in record.image_url]),
            output_url=await self.files.link(output, seconds) if output else None,
        )
