"""What a webhook sends when a task has ended: its callback, with what it is and when it was."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.callback import Callback

EventType = Literal["task.completed", "task.failed", "task.cancelled", "webhook.test"]
TEST: Final = "webhook.test"


class TaskEvent(Callback):
    """The body of a request to a webhook: flat, the callback's keys first."""

    type: Literal["task.completed", "task.failed", "task.cancelled"]
    timestamp: AwareDatetime  # when the task ended


class TestEvent(BaseModel):
    """The body of a request that only tries a webhook."""

    model_config = ConfigDict(frozen=True)
    __test__ = False  # pytest takes the name for tests

    type: Literal["webhook.test"] = TEST
    timestamp: AwareDatetime
    uid: str  # names this test among the deliveries
