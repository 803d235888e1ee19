"""A handler with fakes around it, as fixtures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from queue_agent_fakes import (
    FakeInputReader,
    FakeNotifier,
    FakeRuntime,
    FakeStore,
    delivery,
    state,
)

from contracts.message import TaskMessage
from queue_agent.domain import Leftovers
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.find import find_in_body, find_in_graph
from queue_agent.inputs.kinds import Kind
from queue_agent.metrics import Metrics
from queue_agent.runtimes.port import RuntimeParts, no_listings
from queue_agent.task import handler, prepare, results, run
from queue_agent.task.handler import Handler
from queue_agent.task.incoming import MessageReader
from queue_agent.task.out_document import ComfyUiOut, SdWebuiOut
from queue_agent.task.prepare import Preparer
from queue_agent.task.results import ResultPublisher
from queue_agent.task.run import Runner
from queue_agent.task.run_limits import RunLimits

LIMITS = InputLimits(count=2, bytes_each=dict.fromkeys(Kind, 100), bytes_total=150)


@dataclass
class Room:
    """A handler with fakes around it, and what it measured."""

    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
    store: FakeStore = field(default_factory=FakeStore)
    reader: FakeInputReader = field(default_factory=FakeInputReader)
    left: list[Leftovers] = field(default_factory=list)  # to be cleaned up
    ends_when_cleaned_up: int = 0
    metric_reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        provider = MeterProvider([self.metric_reader], shutdown_on_exit=False)
        self.metrics = Metrics(provider.get_meter("test"))

    def handler(
        self, *, limit: float = 5, cap: float = 0, budget: float = 5, comfy: bool = False
    ) -> Handler:
        readers = {"https": self.reader, "s3": self.reader}
        parts = RuntimeParts(
            runtime=self.runtime,
            find_inputs=find_in_graph if comfy else find_in_body,
            out=ComfyUiOut() if comfy else SdWebuiOut(),
            listings=no_listings,
        )
        fetcher = Fetcher(readers=readers, limits=LIMITS)
        return self.handler_of(parts, fetcher, limit=limit, cap=cap, budget=budget)

    def handler_of(
        self,
        parts: RuntimeParts,
        fetcher: Fetcher,
        *,
        limit: float = 5,
        cap: float = 0,
        budget: float = 5,
    ) -> Handler:
        metrics = self.metrics
        return Handler(
            reader=MessageReader(runtime_name="sdruntime", bucket="bucket"),
            notifier=self.notifier,
            preparer=Preparer(
                claims=self.store,
                fetcher=fetcher,
                find_inputs=parts.find_inputs,
                runtime=parts.runtime,
                metrics=metrics,
            ),
            runner=Runner(
                runtime=parts.runtime,
                out=parts.out,
                limits=RunLimits(
                    floor=timedelta(seconds=limit),
                    cap=timedelta(seconds=cap or limit),
                    per_megapixel_step=timedelta(),
                ),
            ),
            publisher=ResultPublisher(
                store=self.store,
                notifier=self.notifier,
                metrics=metrics,
                budget=timedelta(seconds=budget),
            ),
            metrics=metrics,
            clean_up=self._clean_up,
            now=lambda: datetime.now(UTC),
        )

    def _clean_up(self, leftovers: Leftovers) -> None:
        self.left.append(leftovers)
        self.ends_when_cleaned_up = len(self.notifier.ends)

    async def handle(self, sent: TaskMessage, **options: Any) -> None:
        await self.handler(**options).handle(delivery(sent), state())

    def out(self) -> dict[str, Any]:
        [key] = [key for key in self.store.objects if key.endswith(".out")]
        document: dict[str, Any] = json.loads(self.store.objects[key][0])
        return document

    def measured(self) -> dict[str, list[dict[str, Any]]]:
        points: dict[str, list[dict[str, Any]]] = {}
        gathered = self.metric_reader.get_metrics_data()
        for resource in gathered.resource_metrics if gathered else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points[metric.name] = [
                        dict(point.attributes or {}) for point in metric.data.data_points
                    ]
        return points


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(results, "FIRST_PAUSE", timedelta(milliseconds=1))
    return Room()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (handler, prepare, run, results):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()
