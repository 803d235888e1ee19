"""Builds the queue agent from its parts and runs it. The only module that knows them all."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from opentelemetry import metrics

from awsio import clients
from contracts.kinds import RuntimeType
from darkroom.notifier.v1.notifier_pb2_grpc import NotifierServiceStub
from queue_agent.aws.s3 import S3ClaimStore, S3OutputStore
from queue_agent.aws.sqs import SqsTaskSource
from queue_agent.concurrency import beside
from queue_agent.inputs.addresses import AddressRules
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.find import find_in_body, find_in_graph, find_in_nodes
from queue_agent.inputs.http import http_inputs
from queue_agent.inputs.s3 import S3InputReader
from queue_agent.metrics import Measures
from queue_agent.notifier_client import GrpcNotifier
from queue_agent.pipeline.consumer import Consumer
from queue_agent.pipeline.readiness import Readiness
from queue_agent.pipeline.slots import Line
from queue_agent.pod.kubernetes import pod_marks
from queue_agent.pod.protection import Marker, nobody_asks
from queue_agent.ports import ImageRuntime, InputReader, Notifier
from queue_agent.runtimes.cleanup import Tidier
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.models import ModelLibrary
from queue_agent.runtimes.invokeai.runtime import InvokeAiRuntime
from queue_agent.runtimes.sdwebui.runtime import SdWebuiRuntime
from queue_agent.runtimes.stall import Warmth
from queue_agent.settings import Settings
from queue_agent.task.handler import Handler
from queue_agent.task.out_document import ComfyUiOut, OutFormat, SdWebuiOut
from queue_agent.task.prepare import FindInputs, Preparer
from queue_agent.task.results import Deliverer
from queue_agent.task.run import Runner
from queue_agent.task.run_limits import RunLimits
from servicekit import rpc
from servicekit.health import Health
from servicekit.lifecycle import stop_on_signals
from servicekit.service import run_service
from servicekit.web import http_serving, ops_app

# ComfyUI has a queue of its own: the next prompt waits there while one runs.
_WIDTHS = {RuntimeType.SDWEBUI: 1, RuntimeType.COMFYUI: 2, RuntimeType.INVOKEAI: 1}

DESCRIPTION = "Takes tasks from one queue and has one Stable Diffusion runtime do them."


async def serve(settings: Settings) -> None:
    """Run until told to stop. What is opened last is closed first."""
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        health = Health()
        await stack.enter_async_context(
            http_serving(ops_app(health), settings.host, settings.ops_port)
        )
        address = f"{settings.host}:{settings.grpc_port}"
        await stack.enter_async_context(rpc.serving(address, health, (), lambda _: None))
        await _work(settings, stack, health, stop)


async def _work(
    settings: Settings, stack: AsyncExitStack, health: Health, stop: asyncio.Event
) -> None:
    sqs = await stack.enter_async_context(clients.sqs())
    http = await stack.enter_async_context(
        runtime_http(settings.runtime_url, settings.answer_bytes)
    )
    measures = Measures(metrics.get_meter("queue_agent"))
    runtime, find_inputs, out = _runtime(settings, http)
    channel = await stack.enter_async_context(rpc.channel(settings.notifier_target))
    notifier = GrpcNotifier(stub=NotifierServiceStub(channel), agent=settings.agent_name)
    marker = await _marker(settings, stack, measures)
    consumer = Consumer(
        source=SqsTaskSource(
            client=sqs,
            queue_url=settings.queue_url,
            wait=settings.receive_wait,
            lease=settings.lease,
        ),
        notifier=notifier,
        readiness=Readiness(runtime=runtime, health=health, poll=settings.runtime_poll),
        measures=measures,
        line=Line(settings.depth, _WIDTHS[settings.runtime_type]),
        lease=settings.lease,
        drain=settings.drain,
        at_work=marker.at_work if marker else nobody_asks,
    )
    tidier = Tidier(runtime=runtime)
    handler = await _handler(
        settings,
        stack,
        tidier,
        runtime=runtime,
        notifier=notifier,
        find_inputs=find_inputs,
        out=out,
        measures=measures,
    )
    telling = _tell(stop, health, marker, tidier)
    await beside(consumer.consume(handler.handle, stop), telling)


async def _tell(
    stop: asyncio.Event, health: Health, marker: Marker | None, tidier: Tidier
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(tidier.keep(), name="tidying")
        if marker:
            group.create_task(marker.keep(), name="marks")
        await stop.wait()
        await health.not_ready("stopping")


async def _marker(
    settings: Settings, stack: AsyncExitStack, measures: Measures
) -> Marker | None:
    if not settings.pod_name:
        return None
    marks = await stack.enter_async_context(
        pod_marks(settings.pod_name, settings.pod_namespace)
    )
    return Marker(marks=marks, measures=measures)


def _runtime(
    settings: Settings, http: RuntimeHttp
) -> tuple[ImageRuntime, FindInputs, OutFormat]:
    poll, silence = settings.runtime_poll, settings.runtime_silence
    warmth = Warmth(stall=settings.runtime_stall, cold_stall=settings.runtime_cold_stall)
    if settings.runtime_type is RuntimeType.COMFYUI:
        comfyui = ComfyUiRuntime(http=http, poll=poll, silence=silence, warmth=warmth)
        return comfyui, find_in_graph, ComfyUiOut()
    if settings.runtime_type is RuntimeType.INVOKEAI:
        models = ModelLibrary(http=http, folder=settings.invokeai_models_folder, poll=poll)
        invokeai = InvokeAiRuntime(
            http=http, poll=poll, silence=silence, models=models, warmth=warmth
        )
        return invokeai, find_in_nodes, ComfyUiOut()
    dynamic = settings.dynamic_model
    sdwebui = SdWebuiRuntime(
        http=http, dynamic=dynamic, poll=poll, silence=silence, warmth=warmth
    )
    return sdwebui, find_in_body, SdWebuiOut()


async def _handler(
    settings: Settings,
    stack: AsyncExitStack,
    tidier: Tidier,
    *,
    runtime: ImageRuntime,
    notifier: Notifier,
    find_inputs: FindInputs,
    out: OutFormat,
    measures: Measures,
) -> Handler:
    s3 = await stack.enter_async_context(clients.s3())
    by_http = await stack.enter_async_context(
        http_inputs(
            patience=settings.input_timeout,
            redirects=settings.input_redirects,
            rules=AddressRules.read(settings.input_private_hosts, settings.input_ports),
        )
    )
    by_s3 = S3InputReader(
        client=s3,
        buckets=frozenset(settings.input_buckets),
        patience=settings.input_timeout,
    )
    readers: dict[str, InputReader] = {"http": by_http, "https": by_http, "s3": by_s3}
    limits = InputLimits(
        count=settings.input_count,
        bytes_each=settings.input_bytes,
        bytes_total=settings.input_total_bytes,
    )
    return Handler(
        runtime_name=settings.runtime_name,
        bucket=settings.output_bucket,
        notifier=notifier,
        preparer=Preparer(
            claims=S3ClaimStore(client=s3, bucket=settings.claim_bucket),
            fetcher=Fetcher(readers=readers, limits=limits),
            find_inputs=find_inputs,
            runtime=runtime,
            measures=measures,
        ),
        runner=Runner(
            runtime=runtime,
            out=out,
            limits=RunLimits(
                floor=settings.run_timeout_floor,
                cap=settings.run_timeout_cap,
                per_megapixel_step=settings.run_timeout_per_megapixel_step,
            ),
        ),
        deliverer=Deliverer(
            store=S3OutputStore(client=s3, bucket=settings.output_bucket),
            notifier=notifier,
            measures=measures,
            budget=settings.settle_budget,
        ),
        measures=measures,
        tidy=tidier.later,
        now=lambda: datetime.now(UTC),
    )


def main() -> None:
    """Run the process."""
    run_service("queue-agent", Settings, serve, DESCRIPTION)


if __name__ == "__main__":
    main()
