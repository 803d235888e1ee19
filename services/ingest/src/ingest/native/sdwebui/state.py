"""What SD WebUI tells of its work, and stopping it: of the newest task of a key, no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from contracts.kinds import RuntimeType
from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.domain import percent
from ingest.http.edge import caller_of
from ingest.native.tasks import Tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Tells and stops what a key has open at a runtime."""

    tasks: Tasks

    async def progress(self, request: Request, name: str) -> dict[str, Any]:
        """As `GET progress` answers; all zero if nothing is open."""
        task = await self._newest(request, name)
        progress = task.progress if task and task.HasField("progress") else None
        return {
            "progress": percent(progress) / 100 if progress else 0.0,
            "eta_relative": 0.0,
            "state": {
                "skipped": False,
                "interrupted": False,
                "stopping_generation": False,
                "job": task.uid if task else "",
                "job_count": 1 if task else 0,
                "job_timestamp": _timestamp(task) if task else "0",
                "job_no": 0,
                "sampling_step": progress.step if progress else 0,
                "sampling_steps": progress.total if progress else 0,
            },
            "current_image": None,
            "textinfo": "Waiting..." if task and task.state == TaskState.QUEUED else None,
        }

    async def interrupt(self, request: Request, name: str) -> None:
        """Take the newest open task back, if there is one."""
        task = await self._newest(request, name)
        if task is not None:
            await self.tasks.cancel(task, caller_of(request.scope))

    async def _newest(self, request: Request, name: str) -> TaskRecord | None:
        runtime = await self.tasks.runtime(name, RuntimeType.SDWEBUI)
        return await self.tasks.newest_open(runtime, caller_of(request.scope))


def _timestamp(task: TaskRecord) -> str:
    return task.created_at.ToDatetime().strftime("%Y%m%d%H%M%S")


def add_state(app: FastAPI, state: State, paths: tuple[str, ...]) -> None:
    """Add the routes below each of `paths`, which may name a runtime."""

    async def progress(request: Request, runtime: str = "") -> dict[str, Any]:
        return await state.progress(request, runtime)

    async def interrupt(request: Request, runtime: str = "") -> dict[str, Any]:
        await state.interrupt(request, runtime)
        return {}

    async def skip(request: Request, runtime: str = "") -> None:
        await state.interrupt(request, runtime)

    for path in paths:
        for name, method, route in (
            ("progress", "GET", progress),
            ("interrupt", "POST", interrupt),
            ("skip", "POST", skip),
        ):
            app.add_api_route(
                f"{path}/{name}", route, methods=[method], include_in_schema=False
            )
