"""OpenTelemetry for one process: spans, metrics, and the trace context on a message.

Trace ids have the X-Ray form (their first 32 bits are the time), so that X-Ray takes them.
Nothing is exported unless the ordinary `OTEL_EXPORTER_OTLP_*` variables name a collector.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.extension.aws.trace import AwsXRayIdGenerator
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from servicekit.redaction import RedactingExporter


@contextmanager
def telemetry(service: str) -> Iterator[None]:
    """Record spans and metrics of this process; what is left is sent at the end."""
    resource = Resource.create({"service.name": service})
    tracers = TracerProvider(resource=resource, id_generator=AwsXRayIdGenerator())
    readers: list[MetricReader] = [PrometheusMetricReader()]
    if _exported("TRACES"):
        tracers.add_span_processor(BatchSpanProcessor(RedactingExporter(OTLPSpanExporter())))
    if _exported("METRICS"):
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    meters = MeterProvider(resource=resource, metric_readers=readers)
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    try:
        yield
    finally:
        tracers.shutdown()
        meters.shutdown()


def _exported(signal: str) -> bool:
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(os.environ.get(name) for name in names)


def outgoing_context() -> dict[str, str]:
    """The present trace context as the string attributes of a message."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def incoming_context(attributes: Mapping[str, str]) -> Context:
    """The trace context that a message's attributes carry; empty if they carry none."""
    return propagate.extract(attributes)
