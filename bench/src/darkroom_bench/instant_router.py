"""A stand-in for the router that accepts every task at once.

Run as `python -m darkroom_bench.instant_router PORT`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

from darkroom.router.v1 import router_pb2

HOST: Final = "127.0.0.1"
_ACCEPTED: Final = router_pb2.SubmitTaskResponse(
    runtime="sdruntime", output_location="s3://b/p/a", uid="01JD0000000000000000000000"
)
_SERVING: Final = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
# Without serializers a handler gives bytes, which costs the least.
_ANSWERS: Final = {
    "/darkroom.router.v1.RouterService/SubmitTask": _ACCEPTED.SerializeToString(),
    "/grpc.health.v1.Health/Check": _SERVING.SerializeToString(),
}


class InstantRouter(grpc.GenericRpcHandler):
    """Answers the two calls that a submission needs."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What answers a call; None for one that is not known."""
        answer = _ANSWERS.get(handler_call_details.method)
        if answer is None:
            return None

        async def say(_: bytes, __: object) -> bytes:
            return answer

        return grpc.unary_unary_rpc_method_handler(say)


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((InstantRouter(),))
    server.add_insecure_port(f"{HOST}:{port}")
    await server.start()
    await stop.wait()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
