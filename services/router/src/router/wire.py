"""What both gRPC edges of the router read and write alike."""

from __future__ import annotations

from contracts.runtimes import Runtime
from darkroom.router.v1 import router_pb2
from router.domain import Reader


def read_reader(wire: router_pb2.Reader) -> Reader:
    """Who asks; a caller that does not say sees nothing."""
    return Reader(tenant=wire.tenant, all_tenants=wire.all_tenants)


def runtime_to_wire(runtime: Runtime) -> router_pb2.Runtime:
    """The wire form of a runtime."""
    return router_pb2.Runtime(
        name=runtime.name,
        type=runtime.type,
        model_filename=runtime.model_filename or "",
        dynamic_model=runtime.dynamic_model,
        tasktypes=runtime.tasktypes,
    )
