"""Ordinary tasks for clients that speak another server's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from pydantic_core import from_json

from contracts.kinds import RuntimeType, TaskType
from contracts.state import OPEN, TaskState
from darkroom.router.v1.router_pb2 import Runtime
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import Caller
from ingest.http.submissions import NewUid
from ingest.ports import Router
from ingest.submit import idempotency_of, submit
from ingest.translate_v1alpha2 import translate_flat
from ingest.watch import Watches
from servicekit.errors import RejectedError

LARGEST_OUT: Final = 16 * 2**20  # bytes of an `.out` document
_AGAIN: Final = 1.0  # seconds after which a wait that broke is begun again
_LOOKED_THROUGH: Final = 100  # newest tasks of the tenant, among which those of a key are


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """Hands tasks in, waits for them and gives their results."""

    router: Router
    watches: Watches
    make_uid: NewUid
    patience: timedelta  # with a task whose client waits

    async def runtime(self, name: str, kind: RuntimeType) -> Runtime:
        """The runtime that a path names, or the only one of a kind.

        Raises `RejectedError` (`runtime_not_found`).
        """
        of_kind = [one for one in await self.router.runtimes() if one.type == kind]
        chosen = [one for one in of_kind if one.name == name.lower()] if name else of_kind
        if len(chosen) == 1:
            return chosen[0]
        paths = ", ".join(f"/runtimes/{one.name}" for one in of_kind) or "none"
        raise RejectedError(
            f"no runtime of type {kind} is meant by this path; there are: {paths}",
            code="runtime_not_found",
        )

    async def done(
        self, runtime: Runtime, tasktype: TaskType, content: Mapping[str, Any], caller: Caller
    ) -> TaskRecord:
        """A new task with this body when it has ended.

        Raises `RejectedError`, also for one that failed or was cancelled (`task_failed`), and
        for one that goes on when the client's time is over (`still_running`).
        """
        self.watches.check_room()
        uid = await self.hand_in(runtime, tasktype, content, caller)
        task = await self._end(uid)
        if task.state == TaskState.COMPLETED:
            return task
        why = task.error.message or f"the task was {task.state}"
        raise RejectedError(f"{why} (task {task.uid})", code="task_failed")

    async def hand_in(
        self,
        runtime: Runtime,
        tasktype: TaskType,
        content: Mapping[str, Any],
        caller: Caller,
        *,
        id: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> str:
        """The uid of a task with this body: for an `id` that comes again, the same one.

        Raises `RejectedError`.
        """
        uid = self.make_uid()
        fields = {"runtime": runtime.name, "tasktype": tasktype, "content": content}
        named = {"id": id or uid.lower(), "context": context or {}}
        submission = translate_flat({**named, **fields}, uid)
        once = idempotency_of(f"{runtime.name} {id}", "id", submission.content) if id else None
        return (await submit(self.router, submission, caller, idempotency=once)).uid

    async def of_key(
        self, runtime: Runtime, caller: Caller, state: TaskState | None = None
    ) -> list[TaskRecord]:
        """The newest tasks of a key at a runtime, newest first."""
        found = await self.router.tasks(
            caller,
            runtime=runtime.name,
            state=state,
            tenant="",
            text="",
            limit=_LOOKED_THROUGH,
            before_uid="",
        )
        mine = (caller.tenant, caller.name)
        return [task for task in found.tasks if (task.tenant, task.key) == mine]

    async def newest_open(self, runtime: Runtime, caller: Caller) -> TaskRecord | None:
        """The newest task of a key that has not ended; a running one first."""
        for state in sorted(OPEN, key=lambda state: state is not TaskState.RUNNING):
            for task in await self.of_key(runtime, caller, state):
                return task
        return None

    async def cancel(self, task: TaskRecord, caller: Caller) -> None:
        """Take a task back, unless it has ended meanwhile."""
        try:
            await self.router.cancel(task.uid, caller)
        except RejectedError as error:
            if error.code != "already_finished":
                raise

    async def out(self, task: TaskRecord, caller: Caller) -> dict[str, Any]:
        """The `.out` document; raises `RejectedError` if it is gone, or none."""
        text = bytearray()
        async for part in self.router.file(task.uid, None, caller):
            text += part
            if len(text) > LARGEST_OUT:
                raise RejectedError("the answer of the runtime is too large", code="not_found")
        document = from_json(text)
        return document if isinstance(document, dict) else {}

    def image(self, task: TaskRecord, index: int, caller: Caller) -> AsyncIterator[bytes]:
        """The bytes of one image."""
        return self.router.file(task.uid, index, caller)

    async def _end(self, uid: str) -> TaskRecord:
        deadline = monotonic() + self.patience.total_seconds()
        while (left := deadline - monotonic()) > 0:
            task = await self.watches.outcome(uid, timedelta(seconds=left))
            if task is not None:
                return task
            await asyncio.sleep(min(_AGAIN, left))
        seconds = self.patience.total_seconds()
        raise RejectedError(
            f"the task goes on after {seconds:.0f} s: GET /v1/tasks/{uid} tells its end",
            code="still_running",
        )
