"""What is sent for each call, and what its answer is; no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from darkroom_client.errors import InvalidRequest
from darkroom_client.results import Accepted, Model, Runtime, Task, Usage

T = TypeVar("T")
GroupBy = Literal["tenant", "runtime", "key"]

LINK_SECONDS: Final = 600
PAGE: Final = 100  # the most that the server gives
_TASK_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class TaskRequest(BaseModel):
    """A task to be done: `content` is the body for the runtime, the rest says which and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: str
    content: Mapping[str, Any] = Field(repr=False)
    tasktype: str = "text-to-image"
    id: str = Field(default_factory=lambda: uuid4().hex)
    prefix: str | None = None
    context: Any = None
    timeout_seconds: int | None = None
    inputs: tuple[str, ...] | Literal["none"] | None = None
    previews: Literal["keep"] | None = None
    include: tuple[Literal["cost"], ...] | None = None
    callback_url: str | None = Field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """The body of `POST /v1alpha2`."""
        metadata = self.model_dump(exclude={"content"}, exclude_none=True)
        return {"task": {"metadata": metadata, "content": self.content}}


Request = TaskRequest | Mapping[str, Any]
"""A task, or a whole body of `POST /v1alpha2`."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of the API; safe to make again."""

    read: Callable[[Any], T]
    path: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    seconds: float = 0  # how long the server may wait before it answers


@dataclass(frozen=True)
class Page:
    """Some tasks, newest first, and where the next are."""

    tasks: tuple[Task, ...]
    cursor: str | None


def submit(
    request: Request, *, wait: int = 0, idempotency_key: str | None = None
) -> Call[Accepted]:
    """Hand a task in, once for each key: the call has one of its own if none is given."""
    body = request.body() if isinstance(request, TaskRequest) else request
    headers = {
        "content-type": "application/json",
        "idempotency-key": idempotency_key or str(uuid4()),
    }
    if wait:
        headers["prefer"] = f"wait={wait}"
    return Call(
        Accepted.model_validate,
        "/v1alpha2",
        method="POST",
        headers=headers,
        # Once, since the bytes of the body are compared with those that came with the key.
        body=json.dumps(body, allow_nan=False).encode(),
        seconds=wait,
    )


def task(name: str) -> Call[Task]:
    """One task by uid or id."""
    return Call(Task.model_validate, task_path(name))


def links(name: str, seconds: int = LINK_SECONDS) -> Call[list[str]]:
    """Links to a task's files, its images first."""
    return Call(
        lambda answer: [str(link) for link in answer["links"]],
        task_path(name),
        params={"links": str(seconds)},
    )


def cancel(name: str) -> Call[Task]:
    """Take a task back."""
    return Call(Task.model_validate, task_path(name), method="DELETE")


def tasks(
    *, runtime: str | None, state: str | None, limit: int, cursor: str | None = None
) -> Call[Page]:
    """One page of tasks."""
    wanted = {"runtime": runtime, "state": state, "limit": str(limit), "cursor": cursor}
    return Call(
        lambda answer: Page(
            tuple(map(Task.model_validate, answer["tasks"])), answer.get("cursor")
        ),
        "/v1/tasks",
        params={name: value for name, value in wanted.items() if value is not None},
    )


def runtimes() -> Call[list[Runtime]]:
    """What can be asked for."""
    return Call(
        lambda answer: list(map(Runtime.model_validate, answer["runtimes"])), "/v1/runtimes"
    )


def models() -> Call[list[Model]]:
    """The catalogue."""
    return Call(lambda answer: list(map(Model.model_validate, answer["models"])), "/v1/models")


def usage(from_: date, to: date, group_by: GroupBy) -> Call[Usage]:
    """What was used from one day to another."""
    asked = {"from": from_.isoformat(), "to": to.isoformat(), "group_by": group_by}
    return Call(Usage.model_validate, "/v1/usage", params=asked)


def other(
    method: str, path: str, json_body: Any = None, params: Mapping[str, str] | None = None
) -> Call[dict[str, Any]]:
    """Any other route, whose answer is an object of JSON."""
    body = None if json_body is None else json.dumps(json_body).encode()
    headers = {} if body is None else {"content-type": "application/json"}
    return Call(dict, path, method=method, params=params or {}, headers=headers, body=body)


def task_path(name: str) -> str:
    """The path of a task; a name that no task can have must not become another path."""
    if not _TASK_NAME.fullmatch(name):
        raise InvalidRequest(
            f"'{name}' is no name of a task: it must be 1 to 128 of A-Z a-z 0-9 . _ -"
            " and not start with '.'"
        )
    return f"/v1/tasks/{name}"
