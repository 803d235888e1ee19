"""The console as an ASGI app: its pages, and what is said when a page cannot be shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from darkroom_client import DarkroomError, FieldError, InvalidRequest
from darkroom_console.files import Files
from darkroom_console.guard import HOSTS, SameOrigin
from darkroom_console.pages import (
    access,
    dead_letters,
    models,
    overview,
    playground,
    task,
    tasks,
)
from darkroom_console.render import HERE, is_part, render
from darkroom_console.stack import NotToldError, Stack, stack_of
from darkroom_console.uploads import Uploads


def console_app(stack: Stack, files: Files, uploads: Uploads) -> FastAPI:
    """The pages of one stack."""
    app = FastAPI(
        openapi_url=None,
        middleware=[
            # A name that leads here by the DNS of another page is no name of the console.
            Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS)),
            Middleware(SameOrigin),
        ],
    )
    app.state.stack, app.state.files, app.state.uploads = stack, files, uploads
    for page in (overview, tasks, task, playground, dead_letters, models, access):
        app.include_router(page.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_api_route("/healthz", _healthy)
    app.add_api_route("/alive", _alive)
    app.add_exception_handler(DarkroomError, _refused)
    app.add_exception_handler(NotToldError, _not_told)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(HTTPException, _no_page)
    return app


async def _healthy() -> Response:
    return PlainTextResponse("ok")


async def _alive(request: Request) -> Response:
    """Asked by a page that could not be shown: has it loaded again once the stack answers."""
    stack = stack_of(request)
    await stack.ask(stack.client.runtimes())
    return Response(headers={"hx-refresh": "true"})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, DarkroomError)  # noqa: S101  # it is the handler of no other
    if not error.temporary:
        return _refusal(request, _status(error), error.detail, error.problem.errors)
    return render(
        request,
        "notice.html" if is_part(request) else "gone.html",
        status=503,
        page="",
        gone=True,
        endpoint=stack_of(request).endpoint,
        detail=error.detail,
        now=datetime.now().astimezone(),
    )


def _status(error: DarkroomError) -> int:
    """What the browser is told; a request that was refused before it was sent has no status."""
    return error.status or (400 if isinstance(error, InvalidRequest) else 502)


async def _not_told(request: Request, _: Exception) -> Response:
    stack = stack_of(request)
    return render(request, "not_told.html", status=200, page="", endpoint=stack.endpoint)


async def _no_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # it is the handler of no other
    return _refusal(request, error.status_code, f"{error.detail}.", ())


async def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # it is the handler of no other
    errors = [
        FieldError(field=".".join(map(str, each["loc"][1:])), message=each["msg"])
        for each in error.errors()
    ]
    return _refusal(request, 400, "Something in this request is wrong.", errors)


def _refusal(
    request: Request, status: int, detail: str, errors: Sequence[FieldError]
) -> Response:
    template = "notice.html" if is_part(request) else "refused.html"
    return render(
        request, template, status=status, page="", gone=False, detail=detail, errors=errors
    )
