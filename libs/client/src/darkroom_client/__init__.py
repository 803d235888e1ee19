"""A client of Darkroom: requests for images in, images out.

`Darkroom` waits for each answer, `AsyncDarkroom` awaits it; they do the same.
"""

from __future__ import annotations

from darkroom_client.aio import AsyncDarkroom
from darkroom_client.callbacks import parse_callback, parse_webhook
from darkroom_client.calls import GroupBy, Request, TaskRequest
from darkroom_client.errors import (
    AlreadyFinished,
    DarkroomError,
    FieldError,
    Forbidden,
    IdempotencyConflict,
    InvalidRequest,
    InvalidSignature,
    ModelNotFound,
    QuotaExceeded,
    RuntimeNotFound,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    Throttled,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unreachable,
    WaitTimeout,
)
from darkroom_client.images import Generated, Image, Outcome
from darkroom_client.results import (
    Accepted,
    Callback,
    Cost,
    Failure,
    Model,
    Money,
    Progress,
    ProgressEvent,
    Runtime,
    StateEvent,
    Task,
    Usage,
    UsageGroup,
)
from darkroom_client.sync import Darkroom
from darkroom_client.watching import Event

__all__ = [
    "Accepted",
    "AlreadyFinished",
    "AsyncDarkroom",
    "Callback",
    "Cost",
    "Darkroom",
    "DarkroomError",
    "Event",
    "Failure",
    "FieldError",
    "Forbidden",
    "Generated",
    "GroupBy",
    "IdempotencyConflict",
    "Image",
    "InvalidRequest",
    "InvalidSignature",
    "Model",
    "ModelNotFound",
    "Money",
    "Outcome",
    "Progress",
    "ProgressEvent",
    "QuotaExceeded",
    "Request",
    "Runtime",
    "RuntimeNotFound",
    "StateEvent",
    "Task",
    "TaskCancelled",
    "TaskFailed",
    "TaskNotFound",
    "TaskRequest",
    "Throttled",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Usage",
    "UsageGroup",
    "WaitTimeout",
    "parse_callback",
    "parse_webhook",
]
