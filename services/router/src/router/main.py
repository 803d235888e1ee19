"""Builds the router from its parts and runs it. The only module that knows them all."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

import grpc
from pydantic import ValidationError

from awsio import clients
from contracts.runtimes import Runtime, RuntimesFile
from darkroom.modelsync.v1 import modelsync_pb2_grpc
from darkroom.notifier.v1 import notifier_pb2_grpc, webhooks_pb2_grpc
from darkroom.router.v1 import (
    operators_pb2,
    operators_pb2_grpc,
    router_pb2,
    router_pb2_grpc,
)
from ledger.dynamodb import DynamoDbLedger
from ledger.open_tasks_dynamodb import DynamoDbOpenTasks
from ledger.recent_dynamodb import DynamoDbRecentEnds
from router.adapters.dynamodb import DynamoDbKeys, dynamodb_requests
from router.adapters.model_sync import GrpcModels
from router.adapters.notifier import GrpcNotifier
from router.adapters.s3 import S3Claims, S3Files
from router.adapters.sns import sns_task_topic
from router.adapters.sqs import SqsQueues
from router.cancel import Cancel
from router.dead_letters import DeadLetters
from router.links import LinkFiles, ReadFile
from router.look_up import LookUp
from router.operators_rpc import OperatorService
from router.overview import Overview, Today
from router.ports import Requests
from router.quotas import Quotas
from router.requests import NoRequests, ReadRequest
from router.rpc import RouterService
from router.settings import Settings
from router.submit import Submit
from router.submit_once import SubmitOnce
from servicekit.errors import FatalError
from servicekit.health import Health
from servicekit.lifecycle import stop_on_signals
from servicekit.rpc import Renewal, channel, serving
from servicekit.service import run_service
from servicekit.web import http_serving, ops_app

SERVICES: Final = (
    router_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name,
    operators_pb2.DESCRIPTOR.services_by_name["OperatorService"].full_name,
)


async def serve(settings: Settings) -> None:
    """Run until told to stop. What is opened last is closed first."""
    runtimes = read_runtimes(settings)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        service, operators = await build_services(stack, settings, runtimes)

        def register(server: grpc.aio.Server) -> None:
            router_pb2_grpc.add_RouterServiceServicer_to_server(service, server)
            operators_pb2_grpc.add_OperatorServiceServicer_to_server(operators, server)

        health = Health()
        await stack.enter_async_context(
            http_serving(ops_app(health), settings.host, settings.ops_port)
        )
        await stack.enter_async_context(
            serving(
                f"{settings.host}:{settings.grpc_port}",
                health,
                SERVICES,
                register,
                renewal=Renewal(settings.grpc_connection_age, settings.grpc_connection_grace),
            )
        )
        await health.ready()
        await stop.wait()
        await health.not_ready("stopping")


async def build_services(
    stack: AsyncExitStack, settings: Settings, runtimes: tuple[Runtime, ...]
) -> tuple[RouterService, OperatorService]:
    """The gRPC services; the stack closes what they hold."""
    dynamodb = await stack.enter_async_context(clients.dynamodb())
    s3 = await stack.enter_async_context(clients.s3(signs_links=True))
    sns = await stack.enter_async_context(clients.sns())
    topic = await stack.enter_async_context(
        sns_task_topic(sns, settings.task_topic_arn, fair_queues=settings.fair_queues)
    )
    model_sync = await stack.enter_async_context(channel(settings.model_sync_target))
    notifier = await stack.enter_async_context(channel(settings.notifier_target))
    ledger = DynamoDbLedger(client=dynamodb, table=settings.table)
    look_up = LookUp(runtimes=runtimes, ledger=ledger)
    claims = S3Claims(client=s3, bucket=settings.claim_bucket)
    told = GrpcNotifier(
        stub=notifier_pb2_grpc.NotifierServiceStub(notifier),
        webhooks=webhooks_pb2_grpc.WebhookServiceStub(notifier),
        timeout=settings.notifier_timeout,
    )
    requests: Requests = NoRequests()
    if settings.keep_requests:
        requests = await stack.enter_async_context(dynamodb_requests(dynamodb, settings.table))
    submit = Submit(
        runtimes=runtimes,
        ledger=ledger,
        models=GrpcModels(
            stub=modelsync_pb2_grpc.ModelServiceStub(model_sync),
            timeout=settings.model_sync_timeout,
        ),
        topic=topic,
        claims=claims,
        notifier=told,
        requests=requests,
        quotas=Quotas(open_tasks=DynamoDbOpenTasks(ledger=ledger), usage=ledger),
        output_bucket=settings.output_bucket,
    )
    keys = DynamoDbKeys(client=dynamodb, table=settings.table)
    once = SubmitOnce(submit=submit, keys=keys, ledger=ledger)
    files = S3Files(client=s3, bucket=settings.output_bucket)
    service = RouterService(
        submit=once,
        look_up=look_up,
        read_request=ReadRequest(look_up=look_up, requests=requests),
        cancel=Cancel(look_up=look_up, ledger=ledger, notifier=told),
        link_files=LinkFiles(ledger=ledger, files=files),
        files=files,
        read_file=ReadFile(ledger=ledger, files=files),
        usage=ledger,
        runtimes=runtimes,
    )
    sqs = await stack.enter_async_context(clients.sqs())
    queues = SqsQueues(client=sqs, prefix=settings.queue_prefix)
    operators = OperatorService(
        overview=Overview(
            runtimes=runtimes,
            ledger=ledger,
            recent=DynamoDbRecentEnds(ledger=ledger),
            today=Today(usage=ledger),
            queues=queues,
        ),
        dead_letters=DeadLetters(
            runtimes=runtimes,
            queues=queues,
            ledger=ledger,
            submit=once,
            claims=claims,
            output_bucket=settings.output_bucket,
        ),
    )
    return service, operators


def read_runtimes(settings: Settings) -> tuple[Runtime, ...]:
    """Read the configured runtimes; raises `FatalError` that names the setting."""
    try:
        return RuntimesFile.read(settings.runtimes_file).runtimes
    except OSError as error:
        raise FatalError(
            f"ROUTER_RUNTIMES_FILE: {settings.runtimes_file}: {error.strerror}"
        ) from error
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        raise FatalError(f"ROUTER_RUNTIMES_FILE: {where}: {wrong['msg']}") from error


def main() -> None:
    """Run the router as a process."""
    run_service("router", Settings, serve, "Routes tasks to the queues of their runtimes.")


if __name__ == "__main__":
    main()
