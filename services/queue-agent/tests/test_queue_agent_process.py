"""The whole process, as it is deployed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import pytest
from invokeai_jobs import items, lora_graph, write_lora
from pydantic import ValidationError
from queue_agent_fakes import message

from awsio import clients
from contracts.kinds import RuntimeType
from contracts.message import TaskMessage
from contracts.runtimes import Runtime
from darkroom.notifier.v1 import notifier_pb2 as pb
from darkroom.notifier.v1.notifier_pb2_grpc import (
    NotifierServiceServicer,
    add_NotifierServiceServicer_to_server,
)
from provisioning.resources import Resources, provision
from queue_agent.runtimes.http import runtime_http
from queue_agent.settings import Settings
from servicekit.listen import free_port
from testkit.sample_runtimes import SampleRuntime, sample_runtime

SOON = 60  # seconds; half a lease, after which a message comes back by itself
REQUIRED = {
    "queue_url": "http://queue",
    "output_bucket": "out",
    "claim_bucket": "claims",
    "notifier_target": "notifier:50051",
    "runtime_name": "sdruntime",
    "runtime_type": "sdwebui",
    "runtime_url": "http://127.0.0.1:7860",
}


class Servicer(NotifierServiceServicer):
    """Lets everything proceed and keeps the ends."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[pb.FinishTaskRequest] = asyncio.Queue()
        self.released: list[pb.ReleaseAttemptRequest] = []
        self.begun: list[str] = []

    async def BeginAttempt(  # noqa: N802  # the protocol's name
        self, request: pb.BeginAttemptRequest, context: object
    ) -> pb.BeginAttemptResponse:
        self.begun.append(request.agent)
        return pb.BeginAttemptResponse(verdict=pb.VERDICT_PROCEED, attempt=len(self.begun))

    async def ReportProgress(  # noqa: N802  # the protocol's name
        self, request: pb.ReportProgressRequest, context: object
    ) -> pb.ReportProgressResponse:
        return pb.ReportProgressResponse()

    async def ReleaseAttempt(  # noqa: N802  # the protocol's name
        self, request: pb.ReleaseAttemptRequest, context: object
    ) -> pb.ReleaseAttemptResponse:
        self.released.append(request)
        return pb.ReleaseAttemptResponse()

    async def FinishTask(  # noqa: N802  # the protocol's name
        self, request: pb.FinishTaskRequest, context: object
    ) -> pb.FinishTaskResponse:
        await self.ends.put(request)
        return pb.FinishTaskResponse(committed=True)

    async def CheckTask(  # noqa: N802  # the protocol's name
        self, request: pb.CheckTaskRequest, context: object
    ) -> pb.CheckTaskResponse:
        raise NotImplementedError

    async def SettleCancel(  # noqa: N802  # the protocol's name
        self, request: pb.SettleCancelRequest, context: object
    ) -> pb.SettleCancelResponse:
        raise NotImplementedError

    def WatchTask(  # noqa: N802  # the protocol's name
        self, request: pb.WatchTaskRequest, context: object
    ) -> AsyncIterator[pb.WatchTaskResponse]:
        raise NotImplementedError


@asynccontextmanager
async def notifier(servicer: Servicer) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_NotifierServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@asynccontextmanager
async def agent(**settings: object) -> AsyncIterator[asyncio.subprocess.Process]:
    values = {
        **REQUIRED,
        "ops_port": free_port(),
        "receive_wait": 1,
        "drain": 1,
        "runtime_poll": 0.1,
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "queue_agent.main",
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            **{f"QUEUE_AGENT_{name}".upper(): str(value) for name, value in values.items()},
        },
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _send(made: Resources, sent: TaskMessage) -> None:
    async with clients.sqs() as sqs:
        body = sent.model_dump_json()
        await sqs.send_message(QueueUrl=made.queues["sdruntime"], MessageBody=body)


async def _logs(process: asyncio.subprocess.Process, message: str) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while json.loads(await process.stderr.readline())["message"] != message:
            pass


async def _left(made: Resources) -> list[str]:
    async with clients.sqs() as sqs:
        found = await sqs.receive_message(QueueUrl=made.queues["sdruntime"])
        return [one["Body"] for one in found.get("Messages", [])]


async def _ready(port: int) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def test_task_goes_from_the_queue_into_the_bucket(aws: str, sdwebui_url: str) -> None:
    made = await provision("process", [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)])
    servicer, port = Servicer(), free_port()
    content = {"prompt": "a secret dog", "steps": 2, "width": 64, "height": 64}
    sent = message(bucket=made.output_bucket, content=content)
    async with (
        notifier(servicer) as target,
        agent(
            queue_url=made.queues["sdruntime"],
            output_bucket=made.output_bucket,
            claim_bucket=made.claim_bucket,
            notifier_target=target,
            runtime_url=sdwebui_url,
            ops_port=port,
        ) as process,
    ):
        await _ready(port)
        await _send(made, sent)
        async with asyncio.timeout(60):
            end = await servicer.ends.get()
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0
    assert end.uid == sent.uid
    assert not end.HasField("error")
    async with clients.s3() as s3:
        listed = await s3.list_objects_v2(Bucket=made.output_bucket)
    keys = {f"s3://{made.output_bucket}/{one['Key']}" for one in listed.get("Contents", [])}
    assert keys == {*end.image_url, end.output_url}
    assert await _left(made) == []
    lines = [json.loads(line) for line in logged.decode().splitlines()]
    events = [line["event"] for line in lines if "event" in line]
    assert events == ["leased", "generated", "stored", "notified"]
    assert b"secret" not in logged


async def test_a_task_is_done_though_no_cluster_takes_the_marks_of_the_pod(
    aws: str, sdwebui_url: str
) -> None:
    made = await provision("marked", [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)])
    servicer, port = Servicer(), free_port()
    content = {"prompt": "a dog", "steps": 2, "width": 64, "height": 64}
    async with (
        notifier(servicer) as target,
        agent(
            queue_url=made.queues["sdruntime"],
            output_bucket=made.output_bucket,
            claim_bucket=made.claim_bucket,
            notifier_target=target,
            runtime_url=sdwebui_url,
            ops_port=port,
            pod_name="sdruntime-1",
            pod_namespace="art",
        ) as process,
    ):
        await _ready(port)
        await _send(made, message(bucket=made.output_bucket, content=content))
        async with asyncio.timeout(60):
            end = await servicer.ends.get()
        await _logs(process, "the pod cannot be marked")
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0
    assert not end.HasField("error")
    assert b"the pod cannot be marked" not in logged  # told once


async def test_stopped_process_gives_its_task_back_long_before_the_lease_ends(
    aws: str, sdwebui_url: str
) -> None:
    made = await provision("stopped", [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)])
    servicer = Servicer()
    content = {"prompt": "HANG", "steps": 2, "width": 64, "height": 64}
    sent = message(bucket=made.output_bucket, content=content)
    async with (
        notifier(servicer) as target,
        aiohttp.ClientSession() as session,
        agent(
            queue_url=made.queues["sdruntime"],
            output_bucket=made.output_bucket,
            claim_bucket=made.claim_bucket,
            notifier_target=target,
            runtime_url=sdwebui_url,
            drain=0,
        ) as process,
    ):
        await _send(made, sent)
        async with asyncio.timeout(60):
            while not await _busy(session, sdwebui_url):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        await _until(lambda: bool(servicer.released))
        await asyncio.wait_for(process.communicate(), 60)
        async with asyncio.timeout(60):
            while await _busy(session, sdwebui_url):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)

    assert process.returncode == 0
    assert servicer.ends.empty()
    assert [(one.attempt, one.interrupted) for one in servicer.released] == [(1, True)]
    assert await _left(made) == [sent.model_dump_json()]


async def test_another_agent_has_the_task_long_before_the_lease_ends(
    aws: str, sdwebui_url: str, own_sdwebui: SampleRuntime
) -> None:
    made = await provision("handed-over", [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)])
    servicer, port = Servicer(), free_port()
    settings: dict[str, object] = {
        "queue_url": made.queues["sdruntime"],
        "output_bucket": made.output_bucket,
        "claim_bucket": made.claim_bucket,
        "drain": 0,
    }
    content = {"prompt": "HANG", "steps": 2, "width": 64, "height": 64}
    async with (
        notifier(servicer) as target,
        agent(
            **settings, notifier_target=target, runtime_url=sdwebui_url, agent_name="first"
        ) as first,
    ):
        await _send(made, message(bucket=made.output_bucket, content=content))
        await _until(lambda: servicer.begun == ["first"])
        async with agent(
            **settings,
            notifier_target=target,
            runtime_url=own_sdwebui[0],
            agent_name="second",
            ops_port=port,
        ):
            await _ready(port)
            first.send_signal(signal.SIGTERM)
            await _until(lambda: servicer.begun == ["first", "second"])


async def test_run_that_never_ends_is_ended_by_its_own_limit(
    aws: str, sdwebui_url: str
) -> None:
    made = await provision("hung", [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)])
    servicer = Servicer()
    content = {"prompt": "HANG", "steps": 2, "width": 64, "height": 64}
    async with (
        notifier(servicer) as target,
        agent(
            queue_url=made.queues["sdruntime"],
            output_bucket=made.output_bucket,
            claim_bucket=made.claim_bucket,
            notifier_target=target,
            runtime_url=sdwebui_url,
        ),
    ):
        sent = message(bucket=made.output_bucket, content=content, timeout_seconds=1)
        await _send(made, sent)
        end = await asyncio.wait_for(servicer.ends.get(), 60)

    assert (end.error.code, end.error.retryable) == ("timeout", True)
    assert servicer.released == []


async def test_agent_has_a_runtime_with_a_broken_device_restarted_and_fails_no_task(
    aws: str, tmp_path: Path
) -> None:
    made = await provision("broken", [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)])
    servicer, runtime_port, port = Servicer(), free_port(), free_port()
    broken = tmp_path / "broken"
    options = ("--port", str(runtime_port), "--break-file", str(broken))
    content = {"prompt": "sound", "steps": 1, "width": 64, "height": 64}
    broken.touch()
    async with (
        notifier(servicer) as target,
        agent(
            queue_url=made.queues["sdruntime"],
            output_bucket=made.output_bucket,
            claim_bucket=made.claim_bucket,
            notifier_target=target,
            runtime_url=f"http://127.0.0.1:{runtime_port}",
            ops_port=port,
            depth=0,  # else the next one may be staged before the device is known to be broken
        ),
    ):
        with sample_runtime("sdwebui", *options):
            await _ready(port)
            for _ in range(3):
                await _send(made, message(bucket=made.output_bucket, content=content))
            asked = await _asked(f"http://127.0.0.1:{port}/runtimez", 503)
            assert "an illegal memory access was encountered" in asked["reason"]
            readiness = await _asked(f"http://127.0.0.1:{port}/readyz", 503)
            assert readiness["reason"] == asked["reason"]
            assert len(servicer.begun) == 1
        await _asked(f"http://127.0.0.1:{port}/runtimez", 200)  # seen to be gone
        with sample_runtime("sdwebui", *options):
            ends = [await asyncio.wait_for(servicer.ends.get(), SOON) for _ in range(3)]

    assert not any(end.HasField("error") for end in ends)
    assert [one.interrupted for one in servicer.released] == [True]


async def test_invokeai_has_its_models_before_a_task_and_keeps_none_of_its_images(
    aws: str, own_invokeai: SampleRuntime, tmp_path: Path
) -> None:
    made = await provision("invoked", [Runtime(name="sdruntime", type=RuntimeType.INVOKEAI)])
    write_lora(tmp_path / "Lora" / "small.safetensors")
    servicer, url = Servicer(), own_invokeai[0]
    content = lora_graph(name="small")
    sent = message(bucket=made.output_bucket, tasktype="pipeline", content=content)
    await _send(made, sent)
    async with (
        notifier(servicer) as target,
        agent(
            queue_url=made.queues["sdruntime"],
            output_bucket=made.output_bucket,
            claim_bucket=made.claim_bucket,
            notifier_target=target,
            runtime_type="invokeai",
            runtime_url=url,
            invokeai_models_folder=tmp_path,
        ),
        runtime_http(url) as http,
    ):
        end = await asyncio.wait_for(servicer.ends.get(), 60)
        async with asyncio.timeout(60):
            while await items(http, f"{sent.uid}-1"):
                pass

    assert len(end.image_url) == 1


async def _until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not claim():  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.01)


async def _asked(url: str, status: int) -> dict[str, str]:
    """What a URL says when it answers with a status, which is waited for."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(SOON):
        while True:
            async with session.get(url) as answer:
                if answer.status == status:
                    said: dict[str, str] = await answer.json()
                    return said
            await asyncio.sleep(0.05)


async def _busy(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(f"{url}/sdapi/v1/progress") as answer:
        return bool((await answer.json())["state"]["job"])


async def test_process_without_its_queue_ends_with_an_error(aws: str, sdwebui_url: str) -> None:
    missing = f"{aws}/000000000000/no-such-queue"

    async with (
        notifier(Servicer()) as target,
        agent(queue_url=missing, runtime_url=sdwebui_url, notifier_target=target) as process,
    ):
        _, logged = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 1
    assert logged.splitlines()[-1].startswith(b"queue-agent: AWS refused sqs.receive")


def settings(monkeypatch: pytest.MonkeyPatch, **changes: str) -> Settings:
    for name, value in {**REQUIRED, **changes}.items():
        monkeypatch.setenv(f"QUEUE_AGENT_{name}".upper(), value)
    return Settings()


def test_buckets_are_a_json_list(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(monkeypatch, input_buckets='["a", "b"]', drain="5")

    assert read.input_buckets == ("a", "b")
    assert read.drain.total_seconds() == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drain", "120"),
        ("receive_wait", "11"),
        ("runtime_type", "automatic1111"),
        ("runtime_url", "http://host/path"),
        ("input_private_hosts", '["10.0.0.0/99"]'),
        ("run_timeout_floor", "0"),
        ("run_timeout_floor", "7200"),
        ("depth", "-1"),
        ("pod_name", "sdruntime-1"),  # of no namespace
    ],
)
def test_wrong_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, **{name: value})
