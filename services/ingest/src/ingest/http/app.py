"""The REST API: its routes, and the app that serves them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from contracts.ids import new_uid
from ingest.bodies import Bodies
from ingest.http import openapi
from ingest.http.edge import Edge, Front, caller_of
from ingest.http.manners import Manners, for_browsers
from ingest.http.models import NewModel, add_models
from ingest.http.operators import Which, add_operators
from ingest.http.problems import Problems
from ingest.http.submissions import NewUid, Submissions, add_submissions
from ingest.http.tasks import add_tasks
from ingest.http.views import RuntimesView, UsageView
from ingest.http.webhooks import NewWebhook, ReplayRequest, add_webhooks
from ingest.keys import Gate
from ingest.metrics import Metrics
from ingest.native.routes import add_native
from ingest.native.tasks import Tasks
from ingest.ports import Models, Operators, Router, Webhooks
from ingest.translate_v1alpha1 import V1Alpha1Request
from ingest.translate_v1alpha2 import V1Alpha2Request
from ingest.usage import Asked, find_usage
from ingest.watch import Watches
from servicekit.errors import AppError
from servicekit.health import Health
from servicekit.web import ops_routes

_HUNG_UP = 499  # as nginx has it


def rest_app(
    *,
    router: Router,
    models: Models,
    watches: Watches,
    webhooks: Webhooks,
    operators: Operators,
    gate: Gate,
    metrics: Metrics,
    health: Health,
    bodies: Bodies,
    cors_origins: Sequence[str] = (),
    native_wait: timedelta = timedelta(minutes=14),
    make_uid: NewUid = new_uid,
) -> ASGIApp:
    """The whole app of the REST port, operators' routes included."""
    problems = Problems(metrics)
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
            RequestValidationError: problems.handle,
            Exception: problems.handle,
            ClientDisconnect: _say_nothing,
        },
    )
    submissions = Submissions(router=router, watches=watches, bodies=bodies, make_uid=make_uid)
    add_submissions(app, submissions)
    add_tasks(app, router, watches)
    native = Tasks(router=router, watches=watches, make_uid=make_uid, patience=native_wait)
    add_native(app, native, models, bodies, gate)
    add_webhooks(app, webhooks, router, bodies)
    add_models(app, models, bodies)
    add_operators(app, operators, gate, bodies)
    _add_catalogues(app, router)
    _add_description(app)
    app.router.routes.extend(ops_routes(health))
    front = Front(app, Edge(app, gate=gate, problems=problems, metrics=metrics))
    return Manners(for_browsers(front, cors_origins))


async def _say_nothing(_: Request, __: Exception) -> Response:
    return Response(status_code=_HUNG_UP)  # nobody reads it, but the status is counted


def _add_catalogues(app: FastAPI, router: Router) -> None:
    @app.get(
        "/v1/runtimes",
        operation_id="listRuntimes",
        summary="List the runtimes that take tasks",
        responses=openapi.refusals(openapi.READING),
    )
    async def list_runtimes() -> RuntimesView:
        return RuntimesView.of(await router.runtimes())

    @app.get(
        "/v1/usage",
        operation_id="getUsage",
        summary="Tell what tasks that ended on some days have used",
        responses=openapi.refusals(openapi.READING),
    )
    async def get_usage(request: Request, asked: Annotated[Asked, Query()]) -> UsageView:
        return UsageView.of(asked, await find_usage(router, asked, caller_of(request.scope)))


def _add_description(app: FastAPI) -> None:
    bodies = (V1Alpha1Request, V1Alpha2Request, NewWebhook, ReplayRequest, Which, NewModel)
    document = openapi.describe(app, bodies)
    text, html = to_json(document), openapi.page(document)

    async def description(_: Request) -> Response:
        return Response(text, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(html)

    app.add_route("/openapi.json", description, methods=["GET"], include_in_schema=False)
    app.add_route("/docs", docs, methods=["GET"], include_in_schema=False)
