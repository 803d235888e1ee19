"""The whole process, as it is deployed."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import aiohttp
from agent_process import (
    SOON,
    Servicer,
    agent,
    asked,
    busy,
    left,
    logs,
    notifier,
    ready,
    send,
    until,
)
from invokeai_jobs import items, lora_graph, write_lora
from queue_agent_fakes import message

from awsio import clients
from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from provisioning.resources import provision
from queue_agent.runtimes.http import runtime_http
from servicekit.listen import free_port
from testkit.sample_runtimes import SampleRuntime, sample_runtime


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
        await ready(port)
        await send(made, sent)
        async with asyncio.timeout(120):
            end = await servicer.ends.get()
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.wait_for(process.communicate(), 120)

    assert process.returncode == 0
    assert end.uid == sent.uid
    assert not end.HasField("error")
    async with clients.s3() as s3:
        listed = await s3.list_objects_v2(Bucket=made.output_bucket)
    keys = {f"s3://{made.output_bucket}/{one['Key']}" for one in listed.get("Contents", [])}
    assert keys == {*end.image_url, end.output_url}
    assert await left(made) == []
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
        await ready(port)
        await send(made, message(bucket=made.output_bucket, content=content))
        async with asyncio.timeout(120):
            end = await servicer.ends.get()
        await logs(process, "the pod cannot be marked")
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.wait_for(process.communicate(), 120)

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
        await send(made, sent)
        async with asyncio.timeout(120):
            while not await busy(session, sdwebui_url):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        await until(lambda: bool(servicer.released))
        await asyncio.wait_for(process.communicate(), 120)
        async with asyncio.timeout(120):
            while await busy(session, sdwebui_url):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)

    assert process.returncode == 0
    assert servicer.ends.empty()
    assert [(one.attempt, one.interrupted) for one in servicer.released] == [(1, True)]
    assert await left(made) == [sent.model_dump_json()]


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
        await send(made, message(bucket=made.output_bucket, content=content))
        await until(lambda: servicer.begun == ["first"])
        async with agent(
            **settings,
            notifier_target=target,
            runtime_url=own_sdwebui[0],
            agent_name="second",
            ops_port=port,
        ):
            await ready(port)
            first.send_signal(signal.SIGTERM)
            await until(lambda: servicer.begun == ["first", "second"])


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
        await send(made, sent)
        end = await asyncio.wait_for(servicer.ends.get(), 120)

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
            await ready(port)
            for _ in range(3):
                await send(made, message(bucket=made.output_bucket, content=content))
            told = await asked(f"http://127.0.0.1:{port}/runtimez", 503)
            assert "an illegal memory access was encountered" in told["reason"]
            readiness = await asked(f"http://127.0.0.1:{port}/readyz", 503)
            assert readiness["reason"] == told["reason"]
            assert len(servicer.begun) == 1
        await asked(f"http://127.0.0.1:{port}/runtimez", 200)  # seen to be gone
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
    await send(made, sent)
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
        end = await asyncio.wait_for(servicer.ends.get(), 120)
        async with asyncio.timeout(120):
            while await items(http, f"{sent.uid}-1"):
                pass

    assert len(end.image_url) == 1


async def test_process_without_its_queue_ends_with_an_error(aws: str, sdwebui_url: str) -> None:
    missing = f"{aws}/000000000000/no-such-queue"

    async with (
        notifier(Servicer()) as target,
        agent(queue_url=missing, runtime_url=sdwebui_url, notifier_target=target) as process,
    ):
        _, logged = await asyncio.wait_for(process.communicate(), 120)

    assert process.returncode == 1
    assert logged.splitlines()[-1].startswith(b"queue-agent: AWS refused sqs.receive")
