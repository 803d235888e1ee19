"""Looking tasks up: the same rules for both edges."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from contracts.ids import name, task_id, uid
from contracts.keys import KeyScope, tenant_name
from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import DEFAULT_PAGE, LARGEST_PAGE, Caller
from ingest.payload import whole_number
from ingest.ports import Router
from servicekit.errors import RejectedError


def _lower_name(text: str) -> str:
    return name(text).lower()


def _tenant(text: str) -> str:
    return tenant_name(text) if text else ""


def _state(text: str) -> TaskState | None:
    if not text:
        return None
    try:
        return TaskState(text)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(TaskState)}") from None


def _limit(text: str) -> int:
    return whole_number(text, 1, LARGEST_PAGE) if text else DEFAULT_PAGE


def _uid_before(cursor: str) -> str:
    if not cursor:
        return ""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return uid(base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii"))
    except (ValueError, binascii.Error):
        raise ValueError("must be a cursor of an earlier answer") from None


class Filters(BaseModel):
    """Which tasks a client asks for; made of text, where empty means unset."""

    runtime: Annotated[str, AfterValidator(_lower_name)] = Field(
        default="", description="Only tasks of this runtime."
    )
    state: Annotated[TaskState | None, BeforeValidator(_state)] = Field(
        default=None, description="Only tasks in this state."
    )
    tenant: Annotated[str, AfterValidator(_tenant)] = Field(
        default="", description="Only tasks of this tenant; for a key of scope `admin`."
    )
    text: Annotated[str, AfterValidator(name)] = Field(
        default="", description="Only tasks whose uid or id has this part."
    )
    limit: Annotated[int, BeforeValidator(_limit)] = Field(
        default=DEFAULT_PAGE, ge=1, le=LARGEST_PAGE, description="At most this many tasks."
    )
    before_uid: Annotated[str, AfterValidator(_uid_before)] = Field(
        default="", alias="cursor", description="The cursor of the page before."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskList:
    """Some tasks, newest first, and how to ask for those that follow."""

    tasks: Sequence[TaskRecord]
    cursor: str | None


async def find_task(router: Router, id: str, caller: Caller) -> TaskRecord:
    """The task of that uid or client's id; raises `RejectedError` if there is none."""
    try:
        known = task_id(id)
    except ValueError:
        # No task can have this name, and it is not safe to say it again.
        raise RejectedError("there is no such task", code="task_not_found") from None
    return await router.task(known, caller)


async def find_request(router: Router, id: str, caller: Caller) -> bytes:
    """The body that submits the task of that uid or client's id again.

    Raises `RejectedError` if there is none, or if it is not kept.
    """
    try:
        known = task_id(id)
    except ValueError:
        raise RejectedError("there is no such task", code="task_not_found") from None
    return await router.request(known, caller)


async def cancel_task(router: Router, id: str, caller: Caller) -> TaskRecord:
    """Take back the task of that uid or client's id; gives it as it then stands.

    Raises `RejectedError` if there is none, or if it has ended before.
    """
    try:
        known = task_id(id)
    except ValueError:
        raise RejectedError("there is no such task", code="task_not_found") from None
    return await router.cancel(known, caller)


async def list_tasks(router: Router, filters: Filters, caller: Caller) -> TaskList:
    """One page of the tasks that a client asks for.

    Raises `RejectedError` (`forbidden`) if they are of a tenant that is none of the caller's.
    """
    check_tenant(caller, filters.tenant)
    page = await router.tasks(
        caller,
        runtime=filters.runtime,
        state=filters.state,
        tenant=filters.tenant,
        text=filters.text,
        limit=filters.limit,
        before_uid=filters.before_uid,
    )
    following = page.next_before_uid
    return TaskList(tasks=page.tasks, cursor=cursor_before(following) if following else None)


def check_tenant(caller: Caller, named: str | None) -> str:
    """The tenant that is meant: the caller's own if none is named.

    Raises `RejectedError` (`forbidden`) if another one's is and the key is not of operators.
    """
    if named and named != caller.tenant and caller.scope is not KeyScope.ADMIN:
        raise RejectedError(
            "tenant can be named with a key of scope 'admin' only", code="forbidden"
        )
    return named or caller.tenant


def cursor_before(before_uid: str) -> str:
    """The opaque text that asks for the tasks that are older than `before_uid`."""
    return base64.urlsafe_b64encode(before_uid.encode()).decode().rstrip("=")
