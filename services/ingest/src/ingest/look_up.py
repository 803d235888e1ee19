"""Looking tasks up: the same rules for both edges."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.ids import task_id, uid
from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import DEFAULT_PAGE, LARGEST_PAGE, LONGEST_LINK
from ingest.payload import invalid, name, wrong
from ingest.ports import Router
from servicekit.errors import FieldError, RejectedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which tasks a client asks for, as it wrote them; empty means unset."""

    runtime: str = ""
    state: str = ""
    limit: str = ""
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskList:
    """Some tasks, newest first, and how to ask for those that follow."""

    tasks: Sequence[TaskRecord]
    cursor: str | None


async def find_task(router: Router, id: str) -> TaskRecord:
    """Give the task of that uid or client's id; raises `RejectedError` if there is none."""
    try:
        known = task_id(id)
    except ValueError:
        # No task can have this name, and it is not safe to say it again.
        raise RejectedError("there is no such task", code="task_not_found") from None
    return await router.task(known)


async def cancel_task(router: Router, id: str) -> TaskRecord:
    """Take back the task of that uid or client's id; gives it as it then stands.

    Raises `RejectedError` if there is none, or if it has ended before.
    """
    try:
        known = task_id(id)
    except ValueError:
        raise RejectedError("there is no such task", code="task_not_found") from None
    return await router.cancel(known)


async def link_files(router: Router, task: TaskRecord, seconds: str) -> tuple[str, ...]:
    """Give links for the files of a task; raises `RejectedError` for a wrong time."""
    if seconds.isascii() and seconds.isdigit() and len(seconds) <= len(str(LONGEST_LINK)):
        number = int(seconds)
        if 1 <= number <= LONGEST_LINK:
            return await router.links(task.uid, number)
    raise invalid([wrong("links", f"must be 1 to {LONGEST_LINK}")])


async def list_tasks(router: Router, filters: Filters) -> TaskList:
    """Give one page; raises `RejectedError` that names every wrong filter."""
    errors: list[FieldError] = []
    runtime = _runtime(filters.runtime, errors)
    state = _state(filters.state, errors)
    limit = _limit(filters.limit, errors)
    before_uid = _before_uid(filters.cursor, errors)
    if errors:
        raise invalid(errors)
    page = await router.tasks(runtime=runtime, state=state, limit=limit, before_uid=before_uid)
    following = page.next_before_uid
    return TaskList(tasks=page.tasks, cursor=cursor_before(following) if following else None)


def cursor_before(before_uid: str) -> str:
    """Give the opaque text that asks for the tasks that are older than `before_uid`."""
    return base64.urlsafe_b64encode(before_uid.encode()).decode().rstrip("=")


def _runtime(text: str, errors: list[FieldError]) -> str:
    try:
        return name(text).lower()
    except ValueError as error:
        errors.append(wrong("runtime", str(error)))
        return ""


def _state(text: str, errors: list[FieldError]) -> TaskState | None:
    if not text:
        return None
    try:
        return TaskState(text)
    except ValueError:
        errors.append(wrong("state", f"must be one of {', '.join(TaskState)}"))
        return None


def _limit(text: str, errors: list[FieldError]) -> int:
    if not text:
        return DEFAULT_PAGE
    if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_PAGE)):
        limit = int(text)
        if 1 <= limit <= LARGEST_PAGE:
            return limit
    errors.append(wrong("limit", f"must be 1 to {LARGEST_PAGE}"))
    return DEFAULT_PAGE


def _before_uid(cursor: str, errors: list[FieldError]) -> str:
    if not cursor:
        return ""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return uid(base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii"))
    except (ValueError, binascii.Error):
        errors.append(wrong("cursor", "must be a cursor of an earlier answer"))
        return ""
