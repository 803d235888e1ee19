"""gRPC the same way in every process: servers, channels, and errors on both sides.

A refusal travels as a status with `google.rpc.ErrorInfo` (reason = our code, domain `darkroom`)
and `BadRequest`; see https://google.aip.dev/193.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from opentelemetry.instrumentation.grpc import (
    aio_client_interceptors,
    aio_server_interceptor,
    filters,
)

from servicekit.errors import AppError, FatalError, FieldError, RejectedError, TransientError
from servicekit.health import Health
from servicekit.status import REFUSALS

log = logging.getLogger(__name__)

DOMAIN = "darkroom"
MESSAGE_BYTES = 24 * 2**20  # a 10 MiB body, escaped at its worst
RETRY_AFTER = timedelta(seconds=1)

_SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a second listener
]
# What is not read yet stays with its sender, but for so much of each call.
_UNREAD_OPTIONS = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 2**16)]
_SERVICE_CONFIG = {
    # A connection to each address of the name: a headless Service has one for each pod.
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


Reading = Callable[
    [grpc.aio.ServicerContext[Any, Any], str], AbstractAsyncContextManager[None]
]  # of a call and its method


@dataclass(frozen=True, slots=True)
class Renewal:
    """How long clients keep a connection to a server; then they look where servers are now.

    Calls that are in flight `after` that time, a tenth more or less, may go on for `grace`.
    """

    after: timedelta
    grace: timedelta

    def options(self) -> list[tuple[str, int]]:
        """The same as options of a server."""
        milliseconds = timedelta(milliseconds=1)
        return [
            ("grpc.max_connection_age_ms", self.after // milliseconds),
            ("grpc.max_connection_age_grace_ms", self.grace // milliseconds),
        ]


@asynccontextmanager
async def channel(target: str) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel that spreads calls over all servers of a name.

    It retries calls which never reached their server. A call still needs its own `timeout`;
    it bounds all tries together.
    """
    options = [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        # A connection is tried as often as a call, or all tries of a call fail with the first.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.enable_http_proxy", 0),
    ]
    async with grpc.aio.insecure_channel(
        target,
        options=options,
        interceptors=aio_client_interceptors(),  # type: ignore[no-untyped-call]
    ) as opened:
        yield opened


@asynccontextmanager
async def serving(
    address: str,
    health: Health,
    services: tuple[str, ...],
    register: Callable[[grpc.aio.Server], None],
    *,
    grace: timedelta = timedelta(seconds=10),
    renewal: Renewal | None = None,
    reading: Reading | None = None,
) -> AsyncIterator[None]:
    """Serve what `register` adds, with health and reflection; calls in flight get `grace`.

    `services` are full names, for reflection. Without `renewal` connections last. A request is
    read inside of `reading`, which may refuse it or have it wait. Raises `FatalError` when the
    address is taken.
    """
    untraced = filters.negate(filters.health_check())
    traced = aio_server_interceptor(filter_=untraced)  # type: ignore[no-untyped-call]
    options = [*_SERVER_OPTIONS, *(renewal.options() if renewal else ())]
    options += _UNREAD_OPTIONS if reading else ()
    server = grpc.aio.server(options=options, interceptors=[traced, _Refusals(reading)])
    register(server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    names = [*services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
    reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise FatalError(f"cannot listen on {address}: the address is in use") from error
    if health.reason is not None:  # the servicer's own beginning is SERVING
        await health.not_ready(health.reason)
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace.total_seconds())


class _Refusals(grpc.aio.ServerInterceptor):
    """Turns our errors into statuses; the only place of a server that catches everything.

    With `reading`, handlers of one request are served as if there were many: only those are
    called before anything is read.
    """

    def __init__(self, reading: Reading | None) -> None:
        self._reading = reading

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler: Any = await continuation(handler_call_details)
        # None: an unknown method. Streams of requests have no handler of ours, and those of
        # the health service are coroutines that write to the stream themselves.
        method = handler_call_details.method
        ours = not method.startswith("/grpc.health.")
        if handler is None or handler.request_streaming or not ours:
            return handler  # type: ignore[no-any-return]
        if handler.response_streaming:
            stream = handler.unary_stream

            async def streamed(sent: Any, context: Any) -> AsyncIterator[Any]:
                try:
                    async for response in stream(
                        await self._read(sent, context, method), context
                    ):
                        yield response
                except Exception as error:  # noqa: BLE001  # the edge answers for every error
                    await _abort(context, error)

            made = (
                grpc.stream_stream_rpc_method_handler
                if self._reading
                else grpc.unary_stream_rpc_method_handler
            )
            return made(streamed, handler.request_deserializer, handler.response_serializer)
        unary = handler.unary_unary

        async def answered(sent: Any, context: Any) -> Any:
            try:
                return await unary(await self._read(sent, context, method), context)
            except Exception as error:  # noqa: BLE001  # the edge answers for every error
                await _abort(context, error)

        made = (
            grpc.stream_unary_rpc_method_handler
            if self._reading
            else grpc.unary_unary_rpc_method_handler
        )
        return made(answered, handler.request_deserializer, handler.response_serializer)

    async def _read(self, sent: Any, context: Any, method: str) -> Any:
        """The one request of a call."""
        if self._reading is None:
            return sent
        async with self._reading(context, method):
            async for request in sent:
                return request
        raise RejectedError("the call has no request", code="invalid_request")


async def _abort(context: Any, error: Exception) -> NoReturn:
    while isinstance(error, ExceptionGroup):  # of tasks that ran beside one another
        error = error.exceptions[0]
    if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError):
        raise error
    status = to_status(error)
    code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
    metadata = (
        ("grpc-status-details-bin", status.SerializeToString()),
        # The layer below has retried already: see "retry in exactly one layer".
        ("grpc-retry-pushback-ms", "-1"),
    )
    await context.abort(code, status.message, trailing_metadata=metadata)
    raise AssertionError("abort always raises")


def to_status(error: Exception) -> status_pb2.Status:
    """The status by which a caller learns of `error`, which is logged."""
    if isinstance(error, RejectedError):
        log.info("refused", extra={"code": error.code, "reason": str(error), **error.details})
        reason, message = error.code, str(error)
    elif isinstance(error, TransientError):
        log.warning("unavailable", exc_info=error, extra=error.details)
        reason, message = "unavailable", "a dependency is down, nothing was accepted"
    else:
        details = error.details if isinstance(error, AppError) else {}
        log.error("failed", exc_info=error, extra=details)
        reason, message = "internal", "internal error"
    status = status_pb2.Status(code=REFUSALS[reason].grpc.value[0], message=message)
    facts = error.facts if isinstance(error, RejectedError) else {}
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=facts)
    status.details.add().Pack(info)
    if isinstance(error, RejectedError) and error.errors:
        fields = error_details_pb2.BadRequest()
        for wrong in error.errors:
            fields.field_violations.add(field=wrong.field, description=wrong.message)
        status.details.add().Pack(fields)
    wait = getattr(error, "retry_after", None)
    if isinstance(error, TransientError) or wait:
        delay = Duration()
        delay.FromTimedelta(wait or RETRY_AFTER)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Raise `RejectedError` for a refusal of the server and `TransientError` for the rest."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _from_status(error, action) from error


def _from_status(error: grpc.aio.AioRpcError, action: str) -> AppError:
    status = rpc_status.from_call(cast("grpc.Call", error))  # it has what a Call must have
    info, fields = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        for known in (info, fields, retry):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
    if info.domain == DOMAIN and info.reason not in {"unavailable", "internal"}:
        wrong = tuple(FieldError(v.field, v.description) for v in fields.field_violations)
        wait = retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
        return RejectedError(
            error.details() or "",
            code=info.reason,
            errors=wrong,
            facts=dict(info.metadata),
            retry_after=wait,
        )
    return TransientError("call failed", action=action, status=error.code().name)
