"""What the agent counts and times."""

from __future__ import annotations

from typing import Protocol

from opentelemetry.metrics import Meter, Observation


class Time(Protocol):
    """For how long there was a node, and work on it."""

    @property
    def up_seconds(self) -> float:
        """Since the pod has the node."""
        ...

    @property
    def busy_seconds(self) -> float:
        """In which the runtime worked, over the runs that have ended."""
        ...

    @property
    def kind(self) -> dict[str, str]:
        """Of the node: type and capacity."""
        ...


class Metrics:
    """The instruments of one process; names, units and attributes are stable."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.queue_wait = meter.create_histogram(
            "darkroom.agent.queue_wait", "s", "From acceptance to the first attempt"
        )
        self.generation = meter.create_histogram(
            "darkroom.agent.generation", "s", "Time of the runtime's work on a task"
        )
        self.overhead = meter.create_histogram(
            "darkroom.agent.overhead", "s", "Time of a task that was not the runtime's work"
        )
        self.lease_extensions = meter.create_counter(
            "darkroom.agent.lease_extensions", "{extension}", "Leases that were extended"
        )
        self.uploads = meter.create_counter(
            "darkroom.agent.uploads", "{object}", "Objects written to the output bucket"
        )
        self.uploaded = meter.create_counter(
            "darkroom.agent.uploaded", "By", "Bytes written to the output bucket"
        )
        self.inputs = meter.create_counter(
            "darkroom.agent.inputs", "By", "Bytes of inputs that were fetched"
        )
        self.failures = meter.create_counter(
            "darkroom.agent.failures", "{task}", "Failed tasks by code"
        )
        self.tasks = meter.create_counter(
            "darkroom.agent.tasks", "{delivery}", "Deliveries by how they were left"
        )
        self.mark_failures = meter.create_counter(
            "darkroom.agent.mark_failures", "{call}", "Marks of the pod that failed"
        )

    def watch_time(self, time: Time) -> None:
        """Observe from now on for how long there was a node, and work on it."""
        self._meter.create_observable_counter(
            "darkroom.agent.up",
            [lambda _: [Observation(time.up_seconds, time.kind)]],
            "s",
            "Time that the agent's pod had its node, with the node's start if it was for it",
        )
        self._meter.create_observable_counter(
            "darkroom.agent.busy",
            [lambda _: [Observation(time.busy_seconds, time.kind)]],
            "s",
            "Time that its runtime worked, whatever came of it",
        )
