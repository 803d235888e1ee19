"""Publishing a task's outcome: into the bucket, then to the notifier."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any, Final, TypeVar

from opentelemetry import trace
from pydantic_core import from_json, to_json

from contracts.places import OutputPlace
from queue_agent.concurrency import unwrap_group
from queue_agent.domain import File, Outcome, Stored, Task
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
        place = outcome.task.place
        urls = []
        async with unwrap_group(), asyncio.TaskGroup() as group:
            for file, key, content_type in _placed(outcome.files, place):
                urls.append(place.url(key))
                group.create_task(self._write(key, file, content_type), name=f"upload-{key}")
        # Last: whoever sees the document may count on the images.
        refs = (file.ref for file in outcome.files)
        told = with_urls(outcome.document, dict(zip(refs, urls, strict=True)))
        if outcome.warnings:
            told["warnings"] = list(outcome.warnings)
        document = File(body=_written(told))
        await self._write(place.out_key, document, "application/json")
        return Stored(
            image_url=tuple(urls),
            output_url=place.url(place.out_key),
            failure=outcome.failure,
            warnings=outcome.warnings,
            cancelled=outcome.cancelled,
        )

    async def _write(self, key: str, file: File, content_type: str) -> None:
        await self.store.write(key, file.body, content_type)
        self.metrics.uploads.add(1)
        self.metrics.uploaded.add(len(file.body))


def _placed(files: Iterable[File], place: OutputPlace) -> Iterator[tuple[File, str, str]]:
    """Each file with its key and type; grids are counted apart."""
    numbers = {is_grid: count(1) for is_grid in (True, False)}
    for file in files:
        kind = file_type(file.body, file.name)
        key_of = place.grid_key if file.is_grid else place.image_key
        yield file, key_of(next(numbers[file.is_grid]), kind.extension), kind.content_type


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
