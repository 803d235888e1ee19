"""Whether this process is alive and ready, told over gRPC and HTTP alike."""

from __future__ import annotations

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as grpc_health


class Health:
    """Starts as not ready; `ready` and `not_ready` switch both protocols."""

    def __init__(self) -> None:
        self.servicer = grpc_health.HealthServicer()
        self.reason: str | None = "starting"  # why it is not ready; None when it is

    async def ready(self) -> None:
        """Tell the world to send work."""
        self.reason = None
        await self.servicer.set("", health_pb2.HealthCheckResponse.SERVING)

    async def not_ready(self, reason: str) -> None:
        """Tell the world to send no work, and why."""
        self.reason = reason
        await self.servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
