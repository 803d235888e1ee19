"""Builds the queue agent from its parts and runs it. The only module that knows them all."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from opentelemetry.metrics import get_meter

from awsio import clients
from contracts.kinds import RuntimeType
from darkroom.notifier.v1.notifier_pb2_grpc import NotifierServiceStub
from egress.addresses import AddressRules
from queue_agent.aws.s3 import S3ClaimStore, S3ListingStore, S3OutputStore
from queue_agent.aws.sqs import SqsTaskSource
from queue_agent.concurrency import run_with
from queue_agent.domain import Node
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.http import http_inputs
from queue_agent.inputs.kinds import Kind
from queue_agent.inputs.s3 import S3InputReader
from queue_agent.metrics import Metrics
from queue_agent.notifier_client import GrpcNotifier
from queue_agent.pipeline.account import Account, price_of
from queue_agent.pipeline.consumer import Consumer
from queue_agent.pipeline.readiness import Readiness
from queue_agent.pipeline.slots import Slots
from queue_agent.pod.kubernetes import KubernetesPodApi, kubernetes_pod
from queue_agent.pod.listings import KeepListings
from queue_agent.pod.liveness import runtime_liveness
from queue_agent.pod.node import find_node
from queue_agent.pod.protection import PodProtection, no_protection
from queue_agent.ports import InputReader, Notifier
from queue_agent.runtimes.cleanup import Cleanup
from queue_agent.runtimes.comfyui.runtime import comfyui_parts
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.runtime import invokeai_parts
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.runtimes.port import RuntimeOptions, RuntimeParts
from queue_agent.runtimes.sdwebui.runtime import sdwebui_parts
from queue_agent.settings import Settings
from queue_agent.task.handler import Handler
from queue_agent.task.incoming import MessageReader
from queue_agent.task.prepare import Preparer
from queue_agent.task.results import ResultPublisher
from queue_agent.task.run import Runner
from queue_agent.task.run_limits import RunLimits
from servicekit import rpc
from servicekit.health import Health
from servicekit.lifecycle import stop_on_signals
from servicekit.service import run_service
from servicekit.web import http_serving, ops_app

DESCRIPTION = "Takes tasks from one queue and has one Stable Diffusion runtime do them."


async def serve(settings: Settings) -> None:
    """Run until told to stop. What is opened last is closed first."""
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        await _work(settings, stack, Health(), stop)


async def _work(
    settings: Settings, stack: AsyncExitStack, health: Health, stop: asyncio.Event
) -> None:
    sqs = await stack.enter_async_context(clients.sqs())
    http = await stack.enter_async_context(
        runtime_http(settings.runtime_url, settings.answer_bytes)
    )
    metrics = Metrics(get_meter("queue_agent"))
    parts = _parts(settings, http)
    channel = await stack.enter_async_context(rpc.channel(settings.notifier_target))
    notifier = GrpcNotifier(stub=NotifierServiceStub(channel), agent=settings.agent_name)
    readiness = Readiness(
        runtime=parts.runtime,
        health=health,
        poll=settings.runtime_poll,
        check_notifier=notifier.check,
        refusal_pause=settings.refusal_pause,
    )
    ops = ops_app(health, runtime_liveness(lambda: readiness.restart_reason))
    await stack.enter_async_context(http_serving(ops, settings.host, settings.ops_port))
    pod = await _pod(settings, stack)
    protection = PodProtection(api=pod, metrics=metrics) if pod else None
    account = await _account(settings, pod)
    metrics.watch_time(account)
    consumer = Consumer(
        source=SqsTaskSource(
            client=sqs,
            queue_url=settings.queue_url,
            wait=settings.receive_wait,
            lease=settings.lease,
        ),
        notifier=notifier,
        readiness=readiness,
        metrics=metrics,
        slots=Slots(settings.depth, parts.width),
        lease=settings.lease,
        drain=settings.drain,
        at_work=protection.at_work if protection else no_protection,
        account=account,
    )
    cleanup = Cleanup(runtime=parts.runtime)
    handler = await _handler(
        settings, stack, parts=parts, notifier=notifier, cleanup=cleanup, metrics=metrics
    )
    listings = KeepListings(
        take=parts.listings,
        store=await _listing_store(settings, stack),
        is_ready=lambda: readiness.found,
    )
    companions = _run_until_stopped(stop, health, protection, cleanup, listings)
    await run_with(consumer.consume(handler.handle, stop), companions)


async def _run_until_stopped(
    stop: asyncio.Event,
    health: Health,
    protection: PodProtection | None,
    cleanup: Cleanup,
    listings: KeepListings,
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(listings.run_until(stop), name="listings")
        group.create_task(cleanup.run_until_stopped(), name="cleanup")
        if protection:
            group.create_task(_protect(protection, stop), name="pod-protection")
        await stop.wait()
        await health.not_ready("stopping")


async def _protect(protection: PodProtection, stop: asyncio.Event) -> None:
    await run_with(stop.wait(), protection.run_until_stopped())
    await protection.take_away()


async def _listing_store(settings: Settings, stack: AsyncExitStack) -> S3ListingStore:
    s3 = await stack.enter_async_context(clients.s3())
    return S3ListingStore(
        client=s3, bucket=settings.output_bucket, runtime=settings.runtime_name
    )


async def _pod(settings: Settings, stack: AsyncExitStack) -> KubernetesPodApi | None:
    if not settings.pod_name:
        return None
    pod = kubernetes_pod(settings.pod_name, settings.pod_namespace)
    return await stack.enter_async_context(pod)


async def _account(settings: Settings, pod: KubernetesPodApi | None) -> Account:
    node = Node(type=settings.node_type)
    if pod and settings.node_name and not settings.node_type:
        node = await find_node(lambda: pod.node(settings.node_name))
    price = price_of(node, settings.node_prices, settings.price_currency, settings.gpus)
    up_before = datetime.now(UTC) - node.since if node.since else timedelta()
    return Account(node, price, up_before=max(up_before, timedelta()))


def _parts(settings: Settings, http: RuntimeHttp) -> RuntimeParts:
    options = RuntimeOptions(
        poll=settings.runtime_poll,
        silence=settings.runtime_silence,
        loaded=LoadedModels(load_time=settings.runtime_load_time),
        dynamic_model=settings.dynamic_model,
        own_model=settings.model_filename,
        models_folder=settings.invokeai_models_folder,
    )
    match settings.runtime_type:
        case RuntimeType.SDWEBUI:
            return sdwebui_parts(http, options)
        case RuntimeType.COMFYUI:
            return comfyui_parts(http, options)
        case RuntimeType.INVOKEAI:
            return invokeai_parts(http, options)


async def _handler(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    parts: RuntimeParts,
    notifier: Notifier,
    cleanup: Cleanup,
    metrics: Metrics,
) -> Handler:
    s3 = await stack.enter_async_context(clients.s3())
    by_http = await stack.enter_async_context(
        http_inputs(
            patience=settings.input_timeout,
            redirects=settings.input_redirects,
            agent=settings.input_user_agent,
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
        bytes_each={
            Kind.IMAGE: settings.input_bytes,
            Kind.AUDIO: settings.input_audio_bytes,
            Kind.VIDEO: settings.input_video_bytes,
            Kind.MODEL: settings.input_model_bytes,
        },
        bytes_total=settings.input_total_bytes,
    )
    return Handler(
        reader=MessageReader(
            runtime_name=settings.runtime_name,
            bucket=settings.output_bucket,
            dynamic_model=settings.dynamic_model,
        ),
        notifier=notifier,
        preparer=Preparer(
            claims=S3ClaimStore(client=s3, bucket=settings.claim_bucket),
            fetcher=Fetcher(readers=readers, limits=limits),
            find_inputs=parts.find_inputs,
            runtime=parts.runtime,
            metrics=metrics,
        ),
        runner=Runner(
            runtime=parts.runtime,
            out=parts.out,
            limits=RunLimits(
                floor=settings.run_timeout_floor,
                cap=settings.run_timeout_cap,
                per_megapixel_step=settings.run_timeout_per_megapixel_step,
            ),
        ),
        publisher=ResultPublisher(
            store=S3OutputStore(client=s3, bucket=settings.output_bucket),
            notifier=notifier,
            metrics=metrics,
            budget=settings.settle_budget,
        ),
        metrics=metrics,
        clean_up=cleanup.later,
        now=lambda: datetime.now(UTC),
    )


def main() -> None:
    """Run the process."""
    run_service("queue-agent", Settings, serve, DESCRIPTION)


if __name__ == "__main__":
    main()
