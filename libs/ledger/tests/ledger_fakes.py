"""Records for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.callback import Failure
from contracts.ids import Prefix, TaskId, new_uid
from contracts.kinds import TaskType
from ledger.record import Record, Result

# In the future, or the emulator removes what has expired.
NOW = datetime(2126, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DONE = Result(image_url=("s3://b/1.png", "s3://b/2.png"), output_url="s3://b/x.out")
FAILED = Result(
    image_url=(),
    output_url="s3://b/x.out",
    error=Failure(code="runtime_error", message="no such sampler", retryable=False),
)


def new_record(*, task_id: str = "test-t2i", runtime: str = "sdruntime") -> Record:
    return Record(
        uid=new_uid(),
        id=TaskId(task_id),
        tenant="studio",
        runtime=runtime,
        tasktype=TaskType.TEXT_TO_IMAGE,
        bucket="outputbucket",
        prefix=Prefix("output"),
        context_json='{"abc": 123}',
        created_at=NOW,
    )
