from __future__ import annotations

import pytest
from hypothesis import settings
from ingest_fakes import World
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

settings.register_profile("ingest", deadline=None)  # a busy machine is not a defect
settings.load_profile("ingest")


@pytest.fixture(scope="session")
def _exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(_exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    """Where the spans of this test are."""
    _exporter.clear()
    return _exporter


@pytest.fixture(scope="session")
def meter() -> InMemoryMetricReader:
    """Where the metrics of all tests are."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    return reader


@pytest.fixture
def world(spans: InMemorySpanExporter, meter: InMemoryMetricReader) -> World:
    return World()
