"""API keys, idempotency keys and download links reach no log, span, metric or error."""

from __future__ import annotations

import logging

import grpc
import prometheus_client
import pytest
from ingest_fakes import KEY, SIGNATURE, WRONG_KEY, World, digest, rest, rpc, v1alpha2
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from darkroom.tasks.v1 import tasks_pb2
from servicekit.errors import TransientError
from servicekit.logs import _Formatter

ONCE = "a-key-that-is-used-once-7d3f"


async def test_no_key_leaves_by_another_way(
    world: World,
    spans: InMemorySpanExporter,
    meter: InMemoryMetricReader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    for error in (None, TransientError("down"), ZeroDivisionError("broken")):
        world.router.error = error
        told += await over_rest(world)
        told += await over_grpc(world)

    formatter = _Formatter("{levelname}{name}{message}", style="{")
    told += [formatter.format(r) for r in caplog.records if not of_client(r)]
    told += [span.to_json() for span in spans.get_finished_spans()]
    recorded = meter.get_metrics_data()
    assert recorded is not None
    told += [recorded.to_json(), prometheus_client.generate_latest().decode()]

    whole = "\n".join(told)
    assert len(spans.get_finished_spans()) > 10
    assert "darkroom.ingest.requests" in whole
    for secret in (KEY, WRONG_KEY, digest(KEY), digest(WRONG_KEY), ONCE, SIGNATURE):
        assert secret not in whole


def keyed(text: str) -> tasks_pb2.SubmitTaskRequest:
    return tasks_pb2.SubmitTaskRequest(
        id="a", runtime="r", tasktype="pipeline", content_json="{}", idempotency_key=text
    )


def of_client(record: logging.LogRecord) -> bool:
    return record.name.startswith(("httpx", "httpcore"))


async def over_rest(world: World) -> list[str]:
    told: list[str] = []
    once = {"Idempotency-Key": ONCE}
    for key in (KEY, WRONG_KEY):
        async with rest(world, key) as client:
            for answer in (
                await client.post("/v1alpha2", json=v1alpha2()),
                await client.post("/v1alpha2", json=v1alpha2(id=".")),
                await client.post("/v1alpha1", content=b"\xff"),
                await client.get("/v1/tasks", params={"x-api-key": key, "limit": "x"}),
                await client.post("/v1alpha2", json=v1alpha2(), headers=once),
                await client.post("/v1alpha2", json=v1alpha2(id="b"), headers=once),
                await client.post("/v1alpha2", json=v1alpha2(), headers=[*once.items()] * 2),
                await client.delete("/v1/tasks/test-t2i"),
                await client.get("/v1/tasks/none/events", headers=once),
                await client.get("/nowhere"),
            ):
                told += [answer.text, str(answer.headers)]
            await client.get("/v1/tasks/test-t2i?links=60")  # its answer has the links
    return told


async def over_grpc(world: World) -> list[str]:
    told: list[str] = []
    async with rpc(world) as stub:
        for key in (KEY, WRONG_KEY):
            metadata = (("x-api-key", key),)
            for call in (
                stub.SubmitTask(tasks_pb2.SubmitTaskRequest(), metadata=metadata),
                stub.SubmitTask(keyed(ONCE), metadata=metadata),
                stub.SubmitTask(keyed(ONCE + "ü"), metadata=metadata),
                stub.CancelTask(tasks_pb2.CancelTaskRequest(id="a"), metadata=metadata),
                stub.GetTask(tasks_pb2.GetTaskRequest(id="a"), metadata=metadata),
                stub.ListTasks(tasks_pb2.ListTasksRequest(), metadata=metadata),
            ):
                try:
                    told.append(str(await call))
                except grpc.aio.AioRpcError as error:
                    told.append(f"{error.details()} {error.trailing_metadata()}")
    return told
