"""What is sent for each call, and what its answer is; no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from darkroom_client.errors import InvalidRequest
from darkroom_client.results import (
    Accepted,
    DeadLetter,
    DeadLetterResult,
    Delivery,
    Model,
    NewSecret,
    Overview,
    Replay,
    Runtime,
    Task,
    TasksPage,
    Usage,
    Webhook,
)

T = TypeVar("T")
GroupBy = Literal["tenant", "runtime", "key"]

LINK_SECONDS: Final = 600
LOOKING_SECONDS: Final = 30  # through dead letters
PAGE: Final = 100  # the most that the server gives
ENDS: Final = ("completed", "failed", "cancelled")
_TASK_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_JSON: Final = {"content-type": "application/json"}
_WEBHOOK: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


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
    """One call of the API."""

    read: Callable[[Any], T]
    path: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    seconds: float = 0  # how long the server may wait before it answers
    once: bool = False  # not safe to make again when its answer is lost


def submit(
    request: Request, *, wait: int = 0, idempotency_key: str | None = None
) -> Call[Accepted]:
    """Hand a task in, once for each key: the call has one of its own if none is given."""
    body = request.body() if isinstance(request, TaskRequest) else request
    headers = {**_JSON, "idempotency-key": idempotency_key or str(uuid4())}
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


def task_request(name: str) -> Call[dict[str, Any]]:
    """The request of a task."""
    return Call(dict, f"{task_path(name)}/request")


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
    *,
    runtime: str | None = None,
    state: str | None = None,
    tenant: str | None = None,
    text: str | None = None,
    limit: int = PAGE,
    cursor: str | None = None,
) -> Call[TasksPage]:
    """One page of tasks."""
    wanted = {"runtime": runtime, "state": state, "tenant": tenant, "text": text}
    return Call(
        TasksPage.model_validate,
        "/v1/tasks",
        params=_given({**wanted, "limit": str(limit), "cursor": cursor}),
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


def overview() -> Call[Overview]:
    """How the runtimes do."""
    return Call(Overview.model_validate, "/v1/overview")


def dead_letters(runtime: str | None, limit: int) -> Call[list[DeadLetter]]:
    """What was parked."""
    return Call(
        lambda answer: list(map(DeadLetter.model_validate, answer["dead_letters"])),
        "/v1/dead-letters",
        params=_given({"runtime": runtime, "limit": str(limit)}),
        seconds=LOOKING_SECONDS,
    )


def redrive(
    messages: Iterable[str] | None, runtime: str | None
) -> Call[list[DeadLetterResult]]:
    """Have what was parked done after all."""
    return _dead_letters("redrive", messages, runtime)


def purge(messages: Iterable[str] | None, runtime: str | None) -> Call[list[DeadLetterResult]]:
    """Throw away what was parked."""
    return _dead_letters("purge", messages, runtime)


def _dead_letters(
    action: str, messages: Iterable[str] | None, runtime: str | None
) -> Call[list[DeadLetterResult]]:
    names = None if messages is None else list(messages)
    call = _posted(
        lambda answer: list(map(DeadLetterResult.model_validate, answer["results"])),
        f"/v1/dead-letters/{action}",
        {"runtime": runtime, "messages": names},
        once=True,
    )
    return replace(call, seconds=LOOKING_SECONDS)


def webhooks(tenant: str | None) -> Call[list[Webhook]]:
    """The webhooks of a tenant."""
    return Call(
        lambda answer: list(map(Webhook.model_validate, answer["webhooks"])),
        "/v1/webhooks",
        params=_given({"tenant": tenant}),
    )


def add_webhook(
    url: str, events: Iterable[str], runtime: str | None, tenant: str | None
) -> Call[Webhook]:
    """A new webhook."""
    body = {"url": url, "events": list(events), **_given({"runtime": runtime})}
    return _posted(Webhook.model_validate, "/v1/webhooks", body, tenant, once=True)


def remove_webhook(id: str, tenant: str | None) -> Call[Webhook]:
    """Remove a webhook."""
    path, params = _webhook_path(id), _given({"tenant": tenant})
    return Call(Webhook.model_validate, path, method="DELETE", params=params)


def rotate_webhook(id: str, tenant: str | None) -> Call[NewSecret]:
    """Give a webhook a new secret; a second time would end the first secret at once."""
    path = f"{_webhook_path(id)}/rotate"
    return _posted(NewSecret.model_validate, path, None, tenant, once=True)


def test_webhook(id: str, tenant: str | None) -> Call[str]:
    """Try a webhook."""
    path = f"{_webhook_path(id)}/test"
    return _posted(lambda answer: str(answer["uid"]), path, None, tenant)


def replay_webhook(
    id: str, since: datetime, until: datetime | None, tenant: str | None
) -> Call[Replay]:
    """Tell a webhook again of the tasks that ended in a time."""
    times = {"since": since, "until": until}
    body = {name: time.astimezone().isoformat() for name, time in times.items() if time}
    return _posted(Replay.model_validate, f"{_webhook_path(id)}/replay", body, tenant)


def deliveries(id: str, tenant: str | None) -> Call[list[Delivery]]:
    """What became of the newest events of a webhook."""
    return Call(
        lambda answer: list(map(Delivery.model_validate, answer["deliveries"])),
        f"{_webhook_path(id)}/deliveries",
        params=_given({"tenant": tenant}),
    )


def other(
    method: str, path: str, json_body: Any = None, params: Mapping[str, str] | None = None
) -> Call[dict[str, Any]]:
    """Any other route, whose answer is an object of JSON."""
    body = None if json_body is None else json.dumps(json_body).encode()
    headers = {} if body is None else _JSON
    return Call(dict, path, method=method, params=params or {}, headers=headers, body=body)


def task_path(name: str) -> str:
    """The path of a task; a name that no task can have must not become another path."""
    if not _TASK_NAME.fullmatch(name):
        raise InvalidRequest(
            f"'{name}' is no name of a task: it must be 1 to 128 of A-Z a-z 0-9 . _ -"
            " and not start with '.'"
        )
    return f"/v1/tasks/{name}"


def _webhook_path(id: str) -> str:
    if not _WEBHOOK.fullmatch(id):
        raise InvalidRequest(f"'{id}' is no id of a webhook")
    return f"/v1/webhooks/{id}"


def _given(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _posted(
    read: Callable[[Any], T],
    path: str,
    body: Mapping[str, Any] | None,
    tenant: str | None = None,
    *,
    once: bool = False,
) -> Call[T]:
    """A POST of JSON, or of nothing."""
    return Call(
        read,
        path,
        method="POST",
        params=_given({"tenant": tenant}),
        headers={} if body is None else _JSON,
        body=None if body is None else json.dumps(body, allow_nan=False).encode(),
        once=once,
    )
