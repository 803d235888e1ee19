"""HTTP the same way in every process: a server that stops when told, routes for operators."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import prometheus_client
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from servicekit.errors import FatalError
from servicekit.health import Health

# Longer than a gateway keeps a connection that it may send on at any moment.
KEEP_ALIVE_SECONDS: Final = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHttp:
    """What is answered to bytes that are no HTTP, with the status 400."""

    media_type: str
    body: bytes
    on_answer: Callable[[], None]  # called each time


def _protocol(no_http: NoHttp) -> type[HttpToolsProtocol]:
    head = (
        "HTTP/1.1 400 Bad Request\r\n"
        f"content-type: {no_http.media_type}\r\n"
        f"content-length: {len(no_http.body)}\r\n"
        "connection: close\r\n\r\n"
    )

    class Protocol(HttpToolsProtocol):
        def send_400_response(self, msg: str) -> None:
            no_http.on_answer()
            self.transport.write(head.encode() + no_http.body)
            self.transport.close()

    return Protocol


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the process has one handler for signals: servicekit.lifecycle


@asynccontextmanager
async def http_serving(
    app: ASGIApp, host: str, port: int, *, no_http: NoHttp | None = None
) -> AsyncIterator[None]:
    """Serve `app` until the block ends, then let requests in flight finish.

    The app never sees what is no HTTP, such as a control character in a header: `no_http` is
    the answer, or a line of text. Raises `FatalError` when the address is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. asyncio sets it only where the protocol is named, and without it
    # the body of an answer waits up to 40 ms for the client to acknowledge the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise FatalError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.listen()  # who connects from now on waits for the server, and is not refused
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=10,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        http=_protocol(no_http) if no_http else "httptools",
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        served = group.create_task(server.serve(sockets=[listener]), name=f"http-{port}")
        try:
            yield
        finally:
            server.should_exit = True
            # The group would cancel it after an error, and the port would stay taken.
            await asyncio.wait([served])


def ops_routes(health: Health) -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if health.reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": health.reason}, status_code=503)

    async def metrics(_: Request) -> Response:
        text = prometheus_client.generate_latest()
        return Response(text, media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]


def ops_app(health: Health, *more: Route) -> Starlette:
    """An app for a process whose only HTTP is for operators."""
    return Starlette(routes=[*ops_routes(health), *more])
