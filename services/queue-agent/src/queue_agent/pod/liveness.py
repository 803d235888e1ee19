"""The liveness probe of the runtime's container, answered by the agent beside it."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def runtime_liveness(restart_reason: Callable[[], str | None]) -> Route:
    """`/runtimez`: 503 while the runtime has to be started anew, and why."""

    async def runtimez(_: Request) -> Response:
        reason = restart_reason()
        if reason is None:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "restart", "reason": reason}, status_code=503)

    return Route("/runtimez", runtimez)
