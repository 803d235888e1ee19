"""Task records of the router and the notifier, as tasks."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from darkroom.router.v1 import router_pb2
from ingest.domain import Failure, Progress, Task, TaskState


def to_task(record: router_pb2.TaskRecord) -> Task:
    """Give the task of a record."""
    error, progress = record.error, record.progress
    return Task(
        uid=record.uid,
        id=record.id,
        runtime=record.runtime,
        tasktype=record.tasktype,
        state=TaskState(record.state),
        attempt=record.attempt,
        context_json=record.context_json or "{}",
        created_at=_time(record.created_at),
        started_at=_time(record.started_at) if record.HasField("started_at") else None,
        finished_at=_time(record.finished_at) if record.HasField("finished_at") else None,
        output_location=record.output_location,
        image_url=tuple(record.image_url),
        output_url=record.output_url or None,
        error=Failure(code=error.code, message=error.message, retryable=error.retryable)
        if record.HasField("error")
        else None,
        progress=Progress(step=progress.step, total=progress.total)
        if record.HasField("progress")
        else None,
    )


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
