"""Bringing the inputs of a task in: what is named by URL becomes bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from queue_agent.concurrency import unwrap_group
from queue_agent.domain import InputUnavailableError, TaskFailedError
from queue_agent.files.body import Body
from queue_agent.files.types import is_image, unread_image
from queue_agent.inputs.find import Input, shown
from queue_agent.ports import InputReader, Take


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLimits:
    """How much a task may bring in."""

    count: int
    bytes_each: int
    bytes_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Reads inputs; `readers` are by URL scheme, in lower case."""

    readers: Mapping[str, InputReader]
    limits: InputLimits

    async def fetch(self, inputs: Iterable[Input]) -> dict[str, Body]:
        """The bytes of each URL, read once each.

        Raises `TaskFailedError` with the code `input_unavailable`; its message names the field
        and the place, never a query, which may be a signature.
        """
        by_url = {one.url: one for one in reversed(list(inputs))}  # the first field names it
        if len(by_url) > self.limits.count:
            raise TaskFailedError(
                f"more than {self.limits.count} inputs", code="input_unavailable"
            )
        allowance = _Allowance(self.limits)
        async with unwrap_group(), asyncio.TaskGroup() as group:
            tasks = {
                url: group.create_task(self._one(one, allowance), name=one.field_name)
                for url, one in by_url.items()
            }
        return {url: task.result() for url, task in tasks.items()}

    async def _one(self, wanted: Input, allowance: _Allowance) -> Body:
        try:
            return await self._image(wanted.url, allowance.start())
        except InputUnavailableError as error:
            raise TaskFailedError(
                f"{wanted.field_name}: {shown(wanted.url)}: {error}",
                code="input_unavailable",
                retryable=error.retryable,
            ) from None

    async def _image(self, url: str, take: Take) -> Body:
        body = await self._reader(url).read(url, take)
        # What a server calls it proves nothing.
        if not await asyncio.to_thread(is_image, body):
            if kind := await asyncio.to_thread(unread_image, body):
                raise InputUnavailableError(f"runtimes do not read {kind}: send PNG or JPEG")
            raise InputUnavailableError("its bytes are not an image")
        return body

    def _reader(self, url: str) -> InputReader:
        reader = self.readers.get(_scheme(url))
        if reader is None:
            raise InputUnavailableError("inputs of this kind are not taken")
        return reader


class _Allowance:
    """Counts the bytes of all inputs of a task against its limits."""

    def __init__(self, limits: InputLimits) -> None:
        self._limits = limits
        self._total = 0

    def start(self) -> _Take:
        return _Take(self)

    def spend(self, size: int) -> None:
        self._total += size
        if self._total > self._limits.bytes_total:
            limit = self._limits.bytes_total
            raise InputUnavailableError(f"the inputs have more than {limit} bytes in total")

    @property
    def each(self) -> int:
        return self._limits.bytes_each


class _Take:
    """Counts the bytes of one input."""

    def __init__(self, allowance: _Allowance) -> None:
        self._allowance = allowance
        self._size = 0

    def __call__(self, size: int) -> None:
        self._size += size
        if self._size > self._allowance.each:
            raise InputUnavailableError(f"it has more than {self._allowance.each} bytes")
        self._allowance.spend(size)


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme.lower()
    except ValueError:
        return ""
