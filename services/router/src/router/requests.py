"""The request of a task, kept so that it can be looked at and submitted again."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from contracts.ids import Uid
from router.domain import Reader, Submission
from router.look_up import LookUp
from router.ports import Requests
from servicekit.errors import RejectedError

LARGEST: Final = 128 * 1024  # bytes of a content that is packed at all: it takes CPU time
PACKED: Final = 16 * 1024  # bytes that are kept of one request
# It is written a moment after its task was accepted.
YOUNG: Final = timedelta(seconds=10)
PAUSES: Final = (0.2, 0.5)  # seconds


def _now() -> datetime:
    return datetime.now(UTC)


def packed(task: Submission, runtime: str) -> bytes | None:
    """What is kept of a submission to a runtime; None if it is too large.

    Its `callback_url` is not in it, which may have a secret.
    """
    if len(task.content_json) > LARGEST:
        return None
    head = json.dumps(
        {
            "metadata": _metadata(task, runtime),
            "checkpoint": task.checkpoint or None,
        }
    ).encode()
    # The content is JSON already, and so is the context; neither is parsed here.
    context = task.context_json.encode()
    text = b"[" + head + b"," + context + b"," + task.content_json + b"]"
    body = zlib.compress(text, 1)
    return body if len(body) <= PACKED else None


def unpacked(body: bytes) -> dict[str, Any]:
    """The body of `POST /v1alpha2` that submits it again."""
    head, context, content = json.loads(zlib.decompress(body))
    if head["checkpoint"]:
        scripts = content.get("alwayson_scripts") or {}
        asked = {**scripts, "sd_model_checkpoint": head["checkpoint"]}
        content = {**content, "alwayson_scripts": asked}
    metadata = {**head["metadata"], "context": context}
    return {"task": {"metadata": metadata, "content": content}}


def _metadata(task: Submission, runtime: str) -> dict[str, Any]:
    optional = {
        "timeout_seconds": task.timeout and task.timeout.total_seconds(),
        "inputs": None if task.inputs is None else list(task.inputs) or "none",
        "previews": task.previews,
        "include": list(task.include) or None,
    }
    return {
        "id": task.id,
        "runtime": runtime,
        "tasktype": task.tasktype,
        "prefix": task.prefix,
        **{name: value for name, value in optional.items() if value},
    }


class NoRequests:
    """Keeps nothing."""

    def keep(self, uid: Uid, body: bytes, created_at: datetime) -> None:
        """Keep nothing."""

    async def of(self, uid: Uid) -> bytes | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """Gives the request of a task to those who may see the task."""

    look_up: LookUp
    requests: Requests
    now: Callable[[], datetime] = _now

    async def __call__(self, name: str, reader: Reader) -> dict[str, Any]:
        """The body that submits it again.

        Raises `RejectedError` (`task_not_found`, `request_not_kept`) and `TransientError`.
        """
        record = await self.look_up.one(name, reader)
        pauses = PAUSES if self.now() - record.created_at < YOUNG else ()
        for pause in (0.0, *pauses):
            await asyncio.sleep(pause)
            body = await self.requests.of(record.uid)
            if body is not None:
                return unpacked(body)
        raise RejectedError(
            "the request of this task is not kept: it is too large, the task is older than 30"
            " days or than this release, or the stack keeps none (ROUTER_KEEP_REQUESTS)",
            code="request_not_kept",
        )
