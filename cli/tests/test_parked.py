from __future__ import annotations

from datetime import UTC, datetime

from contracts.ids import DEFAULT_PREFIX, new_uid, task_id
from contracts.kinds import TaskType
from contracts.message import TaskMessage
from darkroom_cli.parked import resubmission


def test_parked_task_is_submitted_as_it_was() -> None:
    parked = TaskMessage(
        uid=new_uid(),
        id=task_id("a"),
        runtime="sddynamic",
        tasktype=TaskType.TEXT_TO_IMAGE,
        prefix=DEFAULT_PREFIX,
        bucket="output",
        checkpoint="v1-5.safetensors",
        accepted_at=datetime.now(UTC),
        timeout_seconds=90,
        content={"prompt": "A dog"},
    )

    request = resubmission(parked, {"prompt": "A dog"}, {"order": 7})

    assert request == {
        "metadata": {
            "id": "a",
            "runtime": "sddynamic",
            "tasktype": "text-to-image",
            "prefix": "output",
            "context": {"order": 7},
            "timeout_seconds": 90,
        },
        "content": {
            "prompt": "A dog",
            "alwayson_scripts": {"sd_model_checkpoint": "v1-5.safetensors"},
        },
    }
