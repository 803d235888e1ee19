"""What a client sees of a task on its way, and what operators see of all of them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import time
from pathlib import Path

import grpc
import httpx
import pytest
from collector import Spans
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from harness import Callbacks, Stack, pipeline, task_service, text_to_image
from PIL import Image

from awsio import clients
from darkroom.tasks.v1 import tasks_pb2

# What metrics are called, and what Prometheus makes of it.
NAMES = re.findall(
    r"^\| `(darkroom[.\w]+)` \| `(\w+)`", Path("docs/telemetry.md").read_text(), re.MULTILINE
)


async def test_one_trace_leads_from_the_post_to_the_callback(
    stack: Stack, callbacks: Callbacks, spans: Spans
) -> None:
    accepted = await stack.submit(**text_to_image("traced"))
    await callbacks.of(accepted["uid"])

    parent = callbacks.attributes[accepted["uid"]]["traceparent"]
    trace_id = bytes.fromhex(parent.split("-")[1])
    deadline = time.monotonic() + 120  # a guard, for a machine that does much else
    while True:
        ours = [(name, span) for name, span in spans.received if span.trace_id == trace_id]
        known = {span.span_id for _, span in ours}
        orphans = [(name, span.name) for name, span in ours if span.parent_span_id not in known]
        # Every span hangs on the one that the POST began.
        if [name for name, _ in orphans] == ["ingest"] and {name for name, _ in ours} == {
            "ingest", "router", "queue-agent", "notifier",
        }:  # fmt: skip
            break
        assert time.monotonic() < deadline, f"{len(ours)} spans, without a parent {orphans}"
        await asyncio.sleep(0.1)
    # The X-Ray form: a trace id begins with the time, in seconds.
    assert abs(int.from_bytes(trace_id[:4], "big") - time.time()) < 600


async def test_task_is_seen_from_queued_to_completed(stack: Stack) -> None:
    accepted = await stack.submit(**text_to_image("seen"))

    task = await stack.until(accepted["uid"], "completed")

    assert task["id"] == "seen"
    assert task["attempt"] == 1
    assert task["context"] == {"test": "seen"}
    assert task["created_at"] < task["started_at"] < task["finished_at"]
    assert (await stack.task("seen"))["uid"] == accepted["uid"]


async def test_grpc_and_rest_tell_the_same_task(stack: Stack) -> None:
    async with grpc.aio.insecure_channel(stack.info["grpc"]) as channel:
        service = task_service(channel)
        key = (("x-api-key", stack.info["api_key"]),)
        request = tasks_pb2.SubmitTaskRequest(
            id="by-grpc",
            runtime="comfyruntime",
            tasktype="pipeline",
            content_json=json.dumps(pipeline("by-grpc", seed=2)["content"]),
        )
        accepted = await service.SubmitTask(request, metadata=key, timeout=120)
        rest = await stack.until(accepted.uid, "completed")
        answer = await service.GetTask(
            tasks_pb2.GetTaskRequest(id="by-grpc"), metadata=key, timeout=120
        )
        listed = await service.ListTasks(
            tasks_pb2.ListTasksRequest(runtime="comfyruntime", limit=1),
            metadata=key,
            timeout=120,
        )
    assert answer.task.uid == accepted.uid == listed.tasks[0].uid
    assert list(answer.task.image_url) == rest["image_url"]


async def test_grpc_without_a_key_is_unauthenticated(stack: Stack) -> None:
    async with grpc.aio.insecure_channel(stack.info["grpc"]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await task_service(channel).GetTask(
                tasks_pb2.GetTaskRequest(id="x"), metadata=(), timeout=120
            )
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # it has what is needed
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (caught.value.code(), info.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "unauthorized",
    )


async def test_body_that_no_message_can_hold_arrives_whole(
    stack: Stack, callbacks: Callbacks
) -> None:
    encoded = io.BytesIO()
    Image.effect_noise((900, 900), 90).save(encoded, "PNG")
    assert encoded.tell() > 500_000
    image = base64.b64encode(encoded.getvalue()).decode()
    task = text_to_image("large", init_images=[image], width=128, height=128)
    task["metadata"]["tasktype"] = "image-to-image"

    accepted = await stack.submit(**task)

    assert (await callbacks.of(accepted["uid"]))["result"] is True


async def test_unknown_checkpoint_of_a_dynamic_runtime_is_refused(stack: Stack) -> None:
    task = text_to_image(
        "unknown",
        runtime="sddynamic",
        alwayson_scripts={"sd_model_checkpoint": "no-such.safetensors"},
    )
    async with stack.client() as client:
        answer = await client.post("/v1alpha2", json={"task": task})

    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
    assert "v1-5-pruned-emaonly.safetensors" in answer.json()["detail"]


async def test_failed_download_fails_the_task(stack: Stack, callbacks: Callbacks) -> None:
    task = text_to_image("no-input", init_images=["http://127.0.0.1:9/none.png?secret=1"])
    task["metadata"]["tasktype"] = "image-to-image"

    accepted = await stack.submit(**task)

    callback = await callbacks.of(accepted["uid"])
    assert callback["error"]["code"] == "input_unavailable"
    assert "init_images" in callback["error"]["message"]
    assert "secret" not in callback["error"]["message"]


async def test_undecodable_message_ends_in_the_dead_letter_queue(
    stack: Stack, callbacks: Callbacks
) -> None:
    url = stack.info["queues"]["sdruntime"]
    body = '{"uid": "not a task"}'
    async with clients.sqs() as sqs:
        await sqs.send_message(QueueUrl=url, MessageBody=body)
        deadline = time.monotonic() + 300
        parked: list[str] = []
        while not parked:
            assert time.monotonic() < deadline, "not in the dead-letter queue"
            answer = await sqs.receive_message(QueueUrl=f"{url}-dlq", WaitTimeSeconds=1)
            parked = [message["Body"] for message in answer.get("Messages", [])]
    assert parked == [body]
    accepted = await stack.submit(**text_to_image("after-garbage"))
    assert (await callbacks.of(accepted["uid"]))["result"] is True


async def test_metrics_have_the_names_of_the_documentation(
    stack: Stack, callbacks: Callbacks
) -> None:
    accepted = await stack.submit(**text_to_image("counted"))
    await callbacks.of(accepted["uid"])
    settings = [child.environ() for child in stack.children()]
    ports = [v for each in settings for k, v in each.items() if k.endswith("_OPS_PORT")]

    told: set[str] = set()
    async with httpx.AsyncClient(trust_env=False) as client:
        for port in ports:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            told |= set(re.findall(r"^# TYPE (darkroom_\w+)", text, re.MULTILINE))

    assert "darkroom_agent_generation_seconds" in told
    assert told <= {prometheus for _, prometheus in NAMES}
    for name, prometheus in NAMES:
        assert prometheus.startswith(name.replace(".", "_"))


async def test_api_key_is_in_no_log_and_no_span(stack: Stack, spans: Spans) -> None:
    key = stack.info["api_key"]
    async with stack.client() as client:
        wrong = await client.get("/v1/tasks/x", headers={"x-api-key": key + "wrong"})
    assert wrong.status_code == 401
    accepted = await stack.submit(**text_to_image("secret"))
    await stack.until(accepted["uid"], "completed")

    texts = [path.read_text() for path in (stack.folder / "logs").glob("*.log")]
    texts += [str(span) for _, span in spans.received]

    assert any(accepted["uid"] in text for text in texts)
    assert not [text for text in texts if key in text]
