"""An OTLP receiver, to see what the services tell a collector."""

from __future__ import annotations

from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Spans(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP receiver that keeps every span with the service that sent it."""

    port: int = 0
    received: list[tuple[str, Span]] = field(default_factory=list)

    def Export(  # noqa: N802  # gRPC names its methods
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.received += [(names["service.name"], span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()
