"""What ingest counts about its requests; the names of operations are few and fixed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

from opentelemetry import metrics

Wire = Literal["rest", "grpc"]


class Call:
    """One request on its way; its status is known at the end."""

    status = "unknown"


class Metrics:
    """The instruments; they record nothing until the process has set a meter provider."""

    def __init__(self) -> None:
        meter = metrics.get_meter("ingest")
        self._requests = meter.create_counter(
            "darkroom.ingest.requests", description="Requests that were answered."
        )
        self._seconds = meter.create_histogram(
            "darkroom.ingest.seconds", unit="s", description="Time to the end of the answer."
        )
        self._refused = meter.create_counter(
            "darkroom.ingest.refused", description="Requests that were refused, by code."
        )

    @contextmanager
    def measured(self, operation: str, protocol: Wire) -> Iterator[Call]:
        """Count and time one request; the block sets the call's status."""
        call, begin = Call(), perf_counter()
        try:
            yield call
        finally:
            attributes = {"operation": operation, "protocol": protocol}
            self._seconds.record(perf_counter() - begin, attributes)
            self._requests.add(1, {**attributes, "status": call.status})

    def refused(self, code: str, protocol: Wire) -> None:
        """Count one refusal; `code` is one of the table of refusals."""
        self._refused.add(1, {"code": code, "protocol": protocol})
