"""A record as the router and the notifier send it over gRPC."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from contracts.cost import Cost
from darkroom.task.v1.task_pb2 import TaskCost, TaskError, TaskRecord
from ledger.record import Record


def to_wire(record: Record) -> TaskRecord:
    """The wire form of a record."""
    wire = TaskRecord(
        uid=record.uid,
        id=record.id,
        runtime=record.runtime,
        tasktype=record.tasktype,
        state=record.state_for_clients,
        attempt=record.attempt,
        context_json=record.context_json,
        created_at=_timestamp(record.created_at),
        started_at=_timestamp(record.started_at),
        finished_at=_timestamp(record.finished_at),
        output_location=record.place.location,
        image_url=record.image_url,
        output_url=record.output_url or "",
        warnings=record.warnings,
        tenant=record.tenant,
        key=record.key,
    )
    if record.error:
        wire.error.CopyFrom(TaskError(**record.error.model_dump()))
    if record.progress:
        wire.progress.step = record.progress.step
        wire.progress.total = record.progress.total
    if record.cost:
        wire.cost.CopyFrom(_cost(record.cost))
    return wire


def read_cost(wire: TaskCost) -> Cost:
    """The cost that an agent tells, nothing of which is below zero."""
    micros = max(wire.amount_micros, 0) if wire.HasField("amount_micros") else None
    return Cost(
        gpu_ms=max(wire.gpu_ms, 0),
        micros=micros,
        currency=wire.currency,
        node_type=wire.node_type,
        capacity=wire.capacity,
    )


def _cost(cost: Cost) -> TaskCost:
    return TaskCost(
        gpu_ms=cost.gpu_ms,
        amount_micros=cost.micros,
        currency=cost.currency,
        node_type=cost.node_type,
        capacity=cost.capacity,
    )


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
