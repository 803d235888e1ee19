"""Publishing a task's outcome: into the bucket, then to the notifier."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from itertools import count
from typing import Any, Final, TypeVar

from opentelemetry import trace
from pydantic_core import from_json, to_json

from contracts.ids import Key
from queue_agent.concurrency import unwrap_group
from queue_agent.domain import File, Outcome, Stored, Task
from queue_agent.files.body import Body
from queue_agent.files.types import file_type
from queue_agent.metrics import Metrics
from queue_agent.ports import Notifier, OutputStore
from queue_agent.task.out_document import with_urls
from servicekit.errors import TransientError

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

T = TypeVar("T")
FIRST_PAUSE: Final = timedelta(seconds=0.5)
LONGEST_PAUSE: Final = timedelta(seconds=15)
_JSON: Final = "application/json"


class _Found(Enum):
    """Whose object had the key that one was to be stored under."""

    NOBODY = auto()  # it is stored
    EARLIER = auto()  # another attempt of the task, which is open
    FINAL = auto()  # another attempt of the task, which has ended: what is there stays
    FOREIGN = auto()  # another submission


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPublisher:
    """Stores results and has the callback sent.

    `budget` is how long it insists, so that no work is done twice.
    """

    store: OutputStore
    notifier: Notifier
    metrics: Metrics
    budget: timedelta

    async def publish(self, outcome: Outcome) -> None:
        """Return when the outcome is stored, committed and its callback sent. Safe to repeat.

        Raises the last `TransientError` when the budget is spent.
        """
        task = outcome.task
        with tracer.start_as_current_span("store"):
            stored = await insist(lambda: self._store(outcome), self.budget)
        log_event(task, "stored")
        with tracer.start_as_current_span("finish"):
            await insist(lambda: self._send_callback(task, stored), self.budget)
        log_event(task, "notified")

    async def _send_callback(self, task: Task, stored: Stored) -> None:
        await self.notifier.finish(task.uid, task.attempt, stored)

    async def _store(self, outcome: Outcome) -> Stored:
        task = outcome.task
        async with unwrap_group(), asyncio.TaskGroup() as group:
            uploads = [
                group.create_task(self._file(task, name, file), name=f"upload-{name}")
                for name, file in _named(outcome.files)
            ]
        urls = tuple(task.place.url(upload.result()) for upload in uploads)
        # Last: whoever sees the document may count on the images.
        refs = (file.ref for file in outcome.files)
        document = with_urls(outcome.document, dict(zip(refs, urls, strict=True)))
        if outcome.warnings:
            document["warnings"] = list(outcome.warnings)
        output_key = await self._document(task, _written(document))
        return Stored(
            image_url=urls,
            output_url=task.place.url(output_key),
            failure=outcome.failure,
            warnings=outcome.warnings,
            cancelled=outcome.cancelled,
            started_at=outcome.started_at,
            cost=outcome.cost,
        )

    async def _file(self, task: Task, name: str, file: File) -> Key:
        kind = file_type(file.body, file.name)
        key = task.place.file_key(name, kind.extension)
        found = await self._write(key, file.body, kind.content_type, task)
        if found is _Found.EARLIER:
            # The same request made it: an attempt that was lost leaves nothing else behind.
            await self._write(key, file.body, kind.content_type, task, anyway=True)
        elif found is _Found.FOREIGN:
            key = task.place.own_file_key(name, kind.extension)
            await self._write(key, file.body, kind.content_type, task, anyway=True)
        return key

    async def _document(self, task: Task, document: bytes) -> Key:
        key = task.place.out_key
        found = await self._write(key, document, _JSON, task)
        if found in {_Found.EARLIER, _Found.FOREIGN}:
            # Whichever attempt ends the task, its document is its own.
            key = task.place.own_out_key(task.attempt)
            await self._write(key, document, _JSON, task, anyway=True)
        return key

    async def _write(
        self, key: Key, body: Body, content_type: str, task: Task, *, anyway: bool = False
    ) -> _Found:
        """Store an object if its key is free or `anyway`; gives who had the key else."""
        owner = f"{task.uid}/{task.attempt}"
        found = await self.store.write(key, body, content_type, owner, anyway=anyway)
        if found != owner:
            if not found.startswith(f"{task.uid}/"):
                return _Found.FOREIGN
            is_open = await self.notifier.is_open(task.uid)
            return _Found.EARLIER if is_open else _Found.FINAL
        self.metrics.uploads.add(1)
        self.metrics.uploaded.add(len(body))
        return _Found.NOBODY


def _named(files: Iterable[File]) -> Iterator[tuple[str, File]]:
    """Each file with its number, or its name as a grid; grids are counted apart."""
    images, grids = count(1), count(1)
    for file in files:
        if not file.is_grid:
            yield f"{next(images)}", file
        else:
            number = next(grids)
            yield "grid" if number == 1 else f"grid-{number}", file


def _written(document: Mapping[str, Any]) -> bytes:
    """A document as JSON, which has no NaN although runtimes answer with it."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except ValueError:
        finite = from_json(to_json(document, inf_nan_mode="null"))
        text = json.dumps(finite, ensure_ascii=False)
    return text.encode(errors="replace")


async def insist(call: Callable[[], Awaitable[T]], budget: timedelta) -> T:
    """Repeat a call that is safe to repeat until it succeeds or the budget is spent."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + budget.total_seconds()
    pause = FIRST_PAUSE.total_seconds()
    while True:
        try:
            return await call()
        except TransientError as error:
            wait = pause * random.uniform(0.5, 1)  # noqa: S311  # jitter is no secret
            if loop.time() + wait > deadline:
                raise
            log.warning("will try again", exc_info=error, extra=error.details)
        await asyncio.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE.total_seconds())


def log_event(task: Task, event: str) -> None:
    """Log a point in the life of a task, for time lines."""
    log.info(event, extra={"event": event, "uid": task.uid, "attempt": task.attempt})
