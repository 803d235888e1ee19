"""The routes that tell of tasks and take them back."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import BeforeValidator, Field
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from ingest.domain import LONGEST_LINK
from ingest.http import openapi
from ingest.http.edge import caller_of
from ingest.http.events import LastEventId, events, sequence_after
from ingest.http.views import RequestView, TasksView, TaskView
from ingest.look_up import Filters, cancel_task, find_request, find_task, list_tasks
from ingest.payload import whole_number
from ingest.ports import Router
from ingest.watch import Watches


def _link_seconds(text: str) -> int | None:
    return whole_number(text, 1, LONGEST_LINK) if text else None


Links = Annotated[
    Annotated[int, Field(ge=1, le=LONGEST_LINK)] | None,
    BeforeValidator(_link_seconds),
    Query(
        description=(
            "Adds download links that work for this many seconds, or until the credentials"
            " that sign them end: on AWS that may be after ten minutes. Ask again for new ones."
        ),
    ),
]


def add_tasks(app: FastAPI, router: Router, watches: Watches) -> None:
    """Add the routes of one task, of its events, and of many tasks."""

    @app.get(
        "/v1/tasks/{id}",
        operation_id="getTask",
        summary="Tell the state of a task, by uid or by the client's id",
        responses=openapi.refusals(openapi.READING),
        response_model_exclude_unset=True,
    )
    async def get_task(
        request: Request, id: str, response: Response, links: Links = None
    ) -> TaskView:
        caller = caller_of(request.scope)
        task = await find_task(router, id, caller)
        view = TaskView.of(task)
        if links:
            view.links = list(await router.links(task.uid, links, caller))
            response.headers["Cache-Control"] = "no-store"
        return view

    @app.delete(
        "/v1/tasks/{id}",
        operation_id="cancelTask",
        summary="Take a task back: a queued one never runs, a running one is interrupted",
        responses=openapi.refusals(openapi.CANCELLING),
        response_model_exclude_unset=True,
    )
    async def delete_task(request: Request, id: str) -> TaskView:
        return TaskView.of(await cancel_task(router, id, caller_of(request.scope)))

    @app.get(
        "/v1/tasks/{id}/request",
        operation_id="getTaskRequest",
        summary="Give the request of a task, as `POST /v1alpha2` takes it",
        responses=openapi.refusals(openapi.READING),
    )
    async def get_request(request: Request, id: str) -> RequestView:
        body = await find_request(router, id, caller_of(request.scope))
        return RequestView.model_validate(from_json(body))

    @app.get(
        "/v1/tasks/{id}/events",
        operation_id="watchTask",
        summary="Follow a task by server-sent events until it has ended",
        response_class=Response,
        responses={**openapi.event_stream(), **openapi.refusals(openapi.READING)},
    )
    async def watch_task(
        request: Request, id: str, last_event_id: LastEventId = ""
    ) -> Response:
        task = await find_task(router, id, caller_of(request.scope))
        return await events(watches, task, sequence_after(last_event_id, task.uid))

    @app.get(
        "/v1/tasks",
        operation_id="listTasks",
        summary="List tasks, newest first",
        responses=openapi.refusals(openapi.OF_TENANT),
        response_model_exclude_unset=True,
    )
    async def list_some(request: Request, filters: Annotated[Filters, Query()]) -> TasksView:
        found = await list_tasks(router, filters, caller_of(request.scope))
        return TasksView.of(found)
