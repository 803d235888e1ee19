"""The routes that tell of tasks and take them back."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from ingest.http import openapi, views
from ingest.http.events import events, last_sequence
from ingest.look_up import Filters, cancel_task, find_task, link_files, list_tasks
from ingest.ports import Router
from ingest.watch import Watches


def add_tasks(app: FastAPI, router: Router, watches: Watches) -> None:
    """Add the routes."""
    _add_one(app, router)
    _add_events(app, router, watches)
    _add_list(app, router)


def _add_one(app: FastAPI, router: Router) -> None:
    async def get_task(id: str, request: Request) -> Response:
        task = await find_task(router, id)
        view = views.TaskView.of(task)
        seconds = request.query_params.get("links", "")
        if not seconds:
            return view.response()
        view.links = list(await link_files(router, task, seconds))
        return view.response({"Cache-Control": "no-store"})

    async def delete_task(id: str) -> Response:
        return views.TaskView.of(await cancel_task(router, id)).response()

    app.add_api_route(
        "/v1/tasks/{id}",
        get_task,
        methods=["GET"],
        operation_id="getTask",
        summary="Tell the state of a task, by uid or by the client's id",
        response_model=views.TaskView,
        responses=openapi.refusals(openapi.FINDING),
        openapi_extra=openapi.links(),
    )
    app.add_api_route(
        "/v1/tasks/{id}",
        delete_task,
        methods=["DELETE"],
        operation_id="cancelTask",
        summary="Take a task back: a queued one never runs, a running one is interrupted",
        response_model=views.TaskView,
        responses=openapi.refusals(openapi.CANCELLING),
    )


def _add_events(app: FastAPI, router: Router, watches: Watches) -> None:
    async def watch_task(id: str, request: Request) -> Response:
        after = last_sequence(request.headers.get("last-event-id", ""))
        return await events(watches, await find_task(router, id), after)

    app.add_api_route(
        "/v1/tasks/{id}/events",
        watch_task,
        methods=["GET"],
        operation_id="watchTask",
        summary="Follow a task by server-sent events until it has ended",
        response_class=Response,
        responses={**openapi.event_stream(), **openapi.refusals(openapi.FINDING)},
        openapi_extra=openapi.resumption(),
    )


def _add_list(app: FastAPI, router: Router) -> None:
    async def list_some(request: Request) -> Response:
        query = request.query_params
        filters = Filters(
            runtime=query.get("runtime", ""),
            state=query.get("state", ""),
            limit=query.get("limit", ""),
            cursor=query.get("cursor", ""),
        )
        return views.TasksView.of(await list_tasks(router, filters)).response()

    app.add_api_route(
        "/v1/tasks",
        list_some,
        methods=["GET"],
        operation_id="listTasks",
        summary="List tasks, newest first",
        response_model=views.TasksView,
        responses=openapi.refusals(openapi.LISTING),
        openapi_extra=openapi.list_filters(),
    )
