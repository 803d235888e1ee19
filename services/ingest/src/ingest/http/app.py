"""The REST API: its routes, and the app that serves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from contracts.ids import Uid, new_uid
from ingest import translate_v1alpha1, translate_v1alpha2
from ingest.domain import Accepted, Submission
from ingest.http import examples, openapi, views
from ingest.http.body import read_json
from ingest.http.edge import Edge, Front, caller_of
from ingest.http.problems import Problems
from ingest.keys import Gate
from ingest.look_up import Filters, find_task, list_tasks
from ingest.measures import Measures
from ingest.ports import Models, Router
from ingest.submit import submit
from servicekit.errors import AppError
from servicekit.health import Health
from servicekit.web import ops_routes

_HUNG_UP = 499  # as nginx has it

NewUid = Callable[[], Uid]


def rest_app(
    *,
    router: Router,
    models: Models,
    gate: Gate,
    measures: Measures,
    health: Health,
    body_timeout: timedelta,
    make_uid: NewUid = new_uid,
) -> ASGIApp:
    """Give the whole app of the REST port, operators' routes included."""
    problems = Problems(measures)
    app = FastAPI(
        title="Darkroom",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `Front` traces
        exception_handlers={
            AppError: problems.handle,
            HTTPException: problems.handle,
            Exception: problems.handle,
            ClientDisconnect: _say_nothing,
        },
    )
    _add_submissions(app, router, body_timeout, make_uid)
    _add_look_ups(app, router)
    _add_catalogues(app, router, models)
    _add_description(app)
    app.router.routes.extend(ops_routes(health))
    return Front(app, Edge(app, gate=gate, problems=problems, measures=measures))


async def _say_nothing(_: Request, __: Exception) -> Response:
    return Response(status_code=_HUNG_UP)  # nobody reads it, but the status is counted


def _add_submissions(
    app: FastAPI, router: Router, body_timeout: timedelta, make_uid: NewUid
) -> None:
    async def accept(
        request: Request,
        translate: Callable[[bytes, Uid], Submission],
        fields: Mapping[str, str],
    ) -> tuple[Submission, Accepted]:
        submission = translate(await read_json(request, body_timeout), make_uid())
        caller = caller_of(request.scope)
        return submission, await submit(router, submission, caller, fields)

    async def submit_v1alpha2(request: Request) -> Response:
        accepted = await accept(
            request, translate_v1alpha2.translate, translate_v1alpha2.FIELDS
        )
        return views.V1Alpha2Answer.of(*accepted).response()

    async def submit_v1alpha1(request: Request) -> Response:
        accepted = await accept(
            request, translate_v1alpha1.translate, translate_v1alpha1.FIELDS
        )
        return views.V1Alpha1Answer.of(*accepted).response()

    app.add_api_route(
        "/v1alpha2",
        submit_v1alpha2,
        methods=["POST"],
        operation_id="submitV1Alpha2",
        summary="Hand one task in",
        response_model=views.V1Alpha2Answer,
        responses={
            200: {"content": {"application/json": {"example": examples.V1ALPHA2_ANSWER}}},
            **openapi.refusals(openapi.SUBMITTING),
        },
        openapi_extra=openapi.json_body(
            translate_v1alpha2.V1Alpha2Request, examples.V1ALPHA2_REQUESTS
        ),
    )
    app.add_api_route(
        "/v1alpha1",
        submit_v1alpha1,
        methods=["POST"],
        operation_id="submitV1Alpha1",
        summary="Hand one task in, in the older form",
        response_model=views.V1Alpha1Answer,
        responses={
            200: {"content": {"application/json": {"example": examples.V1ALPHA1_ANSWER}}},
            **openapi.refusals(openapi.SUBMITTING),
        },
        openapi_extra=openapi.json_body(
            translate_v1alpha1.V1Alpha1Request, examples.V1ALPHA1_REQUESTS
        ),
    )
    for path, endpoint in (("/v1alpha2/", submit_v1alpha2), ("/v1alpha1/", submit_v1alpha1)):
        app.add_api_route(path, endpoint, methods=["POST"], include_in_schema=False)


def _add_look_ups(app: FastAPI, router: Router) -> None:
    async def get_task(id: str) -> Response:
        return views.TaskView.of(await find_task(router, id)).response()

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
        "/v1/tasks/{id}",
        get_task,
        methods=["GET"],
        operation_id="getTask",
        summary="Tell the state of a task, by uid or by the client's id",
        response_model=views.TaskView,
        responses=openapi.refusals(openapi.READING),
    )
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


def _add_catalogues(app: FastAPI, router: Router, models: Models) -> None:
    async def list_runtimes() -> Response:
        return views.RuntimesView.of(await router.runtimes()).response()

    async def list_models() -> Response:
        return views.ModelsView.of(await models.models()).response()

    app.add_api_route(
        "/v1/runtimes",
        list_runtimes,
        methods=["GET"],
        operation_id="listRuntimes",
        summary="List the runtimes that take tasks",
        response_model=views.RuntimesView,
        responses=openapi.refusals(openapi.READING),
    )
    app.add_api_route(
        "/v1/models",
        list_models,
        methods=["GET"],
        operation_id="listModels",
        summary="List the models that can be asked for",
        response_model=views.ModelsView,
        responses=openapi.refusals(openapi.READING),
    )


def _add_description(app: FastAPI) -> None:
    document = openapi.describe(app)
    text, html = to_json(document), openapi.page(document)

    async def description(_: Request) -> Response:
        return Response(text, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(html)

    app.add_route("/openapi.json", description, methods=["GET"], include_in_schema=False)
    app.add_route("/docs", docs, methods=["GET"], include_in_schema=False)
