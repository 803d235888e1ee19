"""Bringing the inputs of a task in: what is named by URL becomes bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from queue_agent.concurrency import unwrap_group
from queue_agent.domain import InputUnavailableError, TaskFailedError
from queue_agent.files.body import Body
from queue_agent.files.types import head_of
from queue_agent.inputs.find import Input, shown
from queue_agent.inputs.kinds import Kind, accepted, article
from queue_agent.ports import InputReader


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLimits:
    """How much a task may bring in."""

    count: int
    bytes_each: Mapping[Kind, int]  # of each kind but `ANY`, which may be any of them
    bytes_total: int

    def of(self, kind: Kind) -> int:
        """How many bytes a file of this kind may have."""
        return max(self.bytes_each.values()) if kind is Kind.ANY else self.bytes_each[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One input as it came; the extension, without a dot, is what its bytes say."""

    body: Body
    extension: str


Source = tuple[str, Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Reads inputs; `readers` are by URL scheme, in lower case."""

    readers: Mapping[str, InputReader]
    limits: InputLimits

    async def fetch(self, inputs: Iterable[Input]) -> dict[Source, Fetched]:
        """What each source names, read once each.

        Raises `TaskFailedError` with the code `input_unavailable`; its message names the field
        and the place, never a query, which may be a signature.
        """
        wanted = {one.source: one for one in reversed(list(inputs))}  # the first field names it
        if len(wanted) > self.limits.count:
            raise TaskFailedError(
                f"more than {self.limits.count} inputs", code="input_unavailable"
            )
        allowance = _Allowance(self.limits)
        async with unwrap_group(), asyncio.TaskGroup() as group:
            tasks = {
                source: group.create_task(self._one(one, allowance), name=one.field_name)
                for source, one in wanted.items()
            }
        return {source: task.result() for source, task in tasks.items()}

    async def _one(self, wanted: Input, allowance: _Allowance) -> Fetched:
        try:
            return await self._file(*wanted.source, allowance)
        except InputUnavailableError as error:
            raise TaskFailedError(
                f"{wanted.field_name}: {shown(wanted.url)}: {error}",
                code="input_unavailable",
                retryable=error.retryable,
            ) from None

    async def _file(self, url: str, kind: Kind, allowance: _Allowance) -> Fetched:
        body = await self._reader(url).read(url, allowance.start(kind))
        # What a server calls it proves nothing.
        sort, complaint = accepted(kind, await asyncio.to_thread(head_of, body), url)
        if sort is None:
            raise InputUnavailableError(complaint)
        if len(body) > self.limits.of(sort.kind):
            limit = self.limits.of(sort.kind)
            raise InputUnavailableError(f"{article(sort.kind)} of more than {limit} bytes")
        return Fetched(body=body, extension=sort.extension)

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

    def start(self, kind: Kind) -> _Take:
        return _Take(self, self._limits.of(kind))

    def spend(self, size: int) -> None:
        self._total += size
        if self._total > self._limits.bytes_total:
            limit = self._limits.bytes_total
            raise InputUnavailableError(f"the inputs have more than {limit} bytes in total")


class _Take:
    """Counts the bytes of one input."""

    def __init__(self, allowance: _Allowance, limit: int) -> None:
        self._allowance = allowance
        self._limit = limit
        self._size = 0

    def __call__(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise InputUnavailableError(f"it has more than {self._limit} bytes")
        self._allowance.spend(size)


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else ""
