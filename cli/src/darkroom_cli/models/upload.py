"""Bringing model files into a model bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from awsio.errors import translated
from darkroom_cli.models.files import Model, check_form
from darkroom_cli.models.progress import Passed, Shown
from darkroom_cli.models.reading import Opened, opened
from servicekit.errors import AppError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

PART_BYTES: Final = 16 * 2**20  # AWS takes 5 MiB or more, and 10,000 parts
PARTS_AT_ONCE: Final = 4
ORIGIN: Final = "darkroom-source"  # metadata of the object: where the file came from


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """Where a model is, and whether it was stored now."""

    url: str
    changed: bool
    size_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Stores models in one bucket, part by part: they need neither disk nor much memory."""

    s3: S3Client
    bucket: str
    shown: Shown
    force: bool = False  # store what is there already, and what no runtime reads
    dry_run: bool = False
    part_bytes: int = PART_BYTES

    async def bring(self, model: Model) -> Brought:
        """Store a model unless it is there; nothing is left of one that is broken.

        Raises `CommandError` for the source, and our errors of AWS.
        """
        if not self.force:
            check_form(model)
        url = f"s3://{self.bucket}/{model.key}"
        async with opened(model) as file:
            size = file.size_bytes
            if not self.force and (found := await self._found(file)):
                return Brought(url=url, changed=False, size_bytes=found)
            if not self.dry_run:
                size = await self._store(file)
        return Brought(url=url, changed=True, size_bytes=size)

    async def _found(self, file: Opened) -> int | None:
        """The size of the object if it is the file, as far as one knows."""
        try:
            with translated("s3.head_object"):
                head = await self.s3.head_object(Bucket=self.bucket, Key=file.model.key)
        except AppError as error:
            if error.details.get("code") in {"404", "NoSuchKey"}:
                return None
            raise
        if file.size_bytes is None:
            same = head["Metadata"] == metadata_of(file.model)
        else:
            same = head["ContentLength"] == file.size_bytes
        return head["ContentLength"] if same else None

    async def _store(self, file: Opened) -> int:
        key = file.model.key
        async with self._begun(file) as upload_id:
            with self.shown(f"{key} to {self.bucket}", file.size_bytes) as passed:
                size, parts = await self._send(file, upload_id, passed)
            with translated("s3.complete_multipart_upload"):
                await self.s3.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload_id,
                    MultipartUpload={"Parts": parts},
                )  # fmt: skip
        return size

    async def _send(
        self, file: Opened, upload_id: str, passed: Passed
    ) -> tuple[int, list[CompletedPartTypeDef]]:
        """Send the parts, some at once: the size of them all, and what S3 made of each."""
        room = asyncio.Semaphore(PARTS_AT_ONCE)
        sent = 0

        async def send(number: int, part: bytes) -> CompletedPartTypeDef:
            nonlocal sent
            with translated("s3.upload_part"):
                answer = await self.s3.upload_part(
                    Bucket=self.bucket, Key=file.model.key, UploadId=upload_id,
                    PartNumber=number, Body=part,
                )  # fmt: skip
            room.release()
            sent += len(part)
            passed(sent)
            return {"ETag": answer["ETag"], "PartNumber": number}

        tasks: list[asyncio.Task[CompletedPartTypeDef]] = []
        try:
            async with asyncio.TaskGroup() as group:
                async for part in file.parts(self.part_bytes):
                    await room.acquire()
                    number = len(tasks) + 1
                    tasks.append(group.create_task(send(number, part), name=f"part {number}"))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return sent, [task.result() for task in tasks]

    @asynccontextmanager
    async def _begun(self, file: Opened) -> AsyncIterator[str]:
        """The id of an upload, which is given up if the block fails."""
        key = file.model.key
        with translated("s3.create_multipart_upload"):
            upload = await self.s3.create_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                ContentType="application/octet-stream",
                Metadata=metadata_of(file.model),
            )
        try:
            yield upload["UploadId"]
        except BaseException:
            with translated("s3.abort_multipart_upload"):
                await self.s3.abort_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload["UploadId"]
                )
            raise


def metadata_of(model: Model) -> dict[str, str]:
    """What an object tells of where its model came from; metadata is ASCII."""
    return {ORIGIN: quote(model.origin, safe="/:?#[]@!$&'()*+,;=%")}
