"""Builds ingest from its parts and runs it. The only module that knows them all."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

import grpc

from awsio import clients
from contracts.keys import Key
from darkroom.tasks.v1.tasks_pb2_grpc import add_TaskServiceServicer_to_server
from ingest.adapters.models import GrpcModels
from ingest.adapters.notifier import GrpcNotifier
from ingest.adapters.operators import GrpcOperators
from ingest.adapters.router import GrpcRouter
from ingest.adapters.secrets import SecretsManagerKeys
from ingest.adapters.webhooks import GrpcWebhooks
from ingest.bodies import Bodies
from ingest.http.app import rest_app
from ingest.http.problems import no_http
from ingest.keys import KeysFile, open_gate, watch_keys, watch_secret
from ingest.metrics import Metrics
from ingest.ports import Router
from ingest.rpc import SERVICE, TaskRpc
from ingest.settings import Settings
from ingest.watch import Watches
from servicekit.health import Health
from servicekit.lifecycle import stop_on_signals
from servicekit.listen import address
from servicekit.rpc import Renewal, channel, serving
from servicekit.service import run_service
from servicekit.web import http_serving


async def serve(settings: Settings) -> None:
    """Run until told to stop; requests in flight then finish before the channels close."""
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        file = KeysFile(
            settings.api_keys_file,
            rate_per_second=settings.rate_per_second,
            burst=settings.burst,
            replicas=settings.replicas,
        )
        secret = await _secret(stack, settings.api_keys_secret)
        gate, metrics, health = open_gate(file), Metrics(), Health()
        to_router = await stack.enter_async_context(channel(settings.router_target))
        router = GrpcRouter(
            to_router,
            timeout=settings.call_timeout,
            submit_timeout=settings.submit_timeout,
        )
        models = GrpcModels(
            await stack.enter_async_context(channel(settings.model_sync_target)),
            timeout=settings.call_timeout,
        )
        to_notifier = await stack.enter_async_context(channel(settings.notifier_target))
        notifier = GrpcNotifier(to_notifier, timeout=settings.watch_timeout)
        watches = Watches(notifier, limit=settings.streams, patience=settings.watch_patience)
        bodies = Bodies(settings.body_bytes, settings.body_timeout)
        app = rest_app(
            router=router,
            models=models,
            watches=watches,
            webhooks=GrpcWebhooks(to_notifier, timeout=settings.call_timeout),
            operators=GrpcOperators(
                to_router,
                timeout=settings.call_timeout,
                long_timeout=settings.operator_timeout,
            ),
            gate=gate,
            metrics=metrics,
            health=health,
            bodies=bodies,
            cors_origins=settings.cors_origins,
            native_wait=settings.native_wait,
        )
        tasks = TaskRpc(router, watches, gate, metrics, bodies)

        def register(server: grpc.aio.Server) -> None:
            add_TaskServiceServicer_to_server(tasks, server)

        await stack.enter_async_context(
            http_serving(app, settings.host, settings.http_port, no_http=no_http(metrics))
        )
        listening = address(settings.host, settings.grpc_port)
        renewal = Renewal(settings.grpc_connection_age, settings.grpc_connection_grace)
        await stack.enter_async_context(
            serving(
                listening, health, (SERVICE,), register, renewal=renewal, reading=tasks.reading
            )
        )
        known = asyncio.Event()

        def use(keys: list[Key]) -> None:
            gate.replace_besides(file.limits.callers(keys))
            known.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(watch_keys(file, gate, stop), name="keys")
            if secret is None:
                known.set()
            else:
                watching = watch_secret(secret, use, stop, settings.api_keys_secret_interval)
                group.create_task(watching, name="secret")
            readiness = group.create_task(
                _become_ready(router, known, health, stop, settings.readiness_interval),
                name="readiness",
            )
            await stop.wait()
            readiness.cancel()
            await health.not_ready("stopping")
            watches.close()


async def _secret(stack: AsyncExitStack, name: str) -> SecretsManagerKeys | None:
    if not name:
        return None
    client = await stack.enter_async_context(clients.secrets())
    return SecretsManagerKeys(client=client, name=name)


async def _become_ready(
    router: Router,
    known: asyncio.Event,
    health: Health,
    stop: asyncio.Event,
    interval: timedelta,
) -> None:
    """Become ready when the router first answers; later outages are each request's answer.

    Before its keys are `known` it would refuse those who may ask.
    """
    await health.not_ready("the router does not answer")
    while not stop.is_set():
        if not known.is_set():
            await health.not_ready("the secret of API keys cannot be read")
        elif not await router.is_serving():
            await health.not_ready("the router does not answer")
        else:
            await health.ready()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(interval.total_seconds()):
                await stop.wait()


def main() -> None:
    """Run ingest as a process."""
    # At DEBUG it would write every event, with its client's context, to the log.
    logging.getLogger("sse_starlette").setLevel(logging.INFO)
    run_service(
        "ingest", Settings, serve, "The edge of Darkroom: takes tasks over REST and gRPC."
    )


if __name__ == "__main__":
    main()
