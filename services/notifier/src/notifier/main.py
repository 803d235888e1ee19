"""Builds the notifier from its parts and runs it. The only module that knows them all."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import grpc

from awsio import clients
from darkroom.notifier.v1 import (
    notifier_pb2,
    notifier_pb2_grpc,
    webhooks_pb2,
    webhooks_pb2_grpc,
)
from egress.addresses import AddressRules
from ledger.dynamodb import DynamoDbLedger
from ledger.open_tasks_dynamodb import DynamoDbOpenTasks
from ledger.recent_dynamodb import DynamoDbRecentEnds
from ledger.transitions import Limits
from notifier.adapters.sns import SnsResultTopic
from notifier.adapters.sqs import SqsDeadLetters
from notifier.changes import Changes
from notifier.parked import CloseParked
from notifier.progress_limiter import ProgressLimiter
from notifier.recent import CountEnds
from notifier.rpc import NotifierService
from notifier.settings import Settings
from notifier.settle import Settle
from notifier.sweep import Sweep
from notifier.watch import Watch
from notifier.webhooks.announce import Announce
from notifier.webhooks.consumer import Consumer
from notifier.webhooks.deliver import Deliver
from notifier.webhooks.domain import Retries
from notifier.webhooks.dynamodb import DynamoDbStore
from notifier.webhooks.hosts import Hosts
from notifier.webhooks.http import http_sender
from notifier.webhooks.manage import Manage
from notifier.webhooks.replay import Replay
from notifier.webhooks.rpc import WebhookService
from notifier.webhooks.sqs import SqsJobs
from servicekit.health import Health
from servicekit.lifecycle import stop_on_signals
from servicekit.rpc import Renewal, serving
from servicekit.service import run_service
from servicekit.web import http_serving, ops_app

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

SERVICES: Final = (
    notifier_pb2.DESCRIPTOR.services_by_name["NotifierService"].full_name,
    webhooks_pb2.DESCRIPTOR.services_by_name["WebhookService"].full_name,
)
WEBHOOK_PORTS: Final = (443,)  # of public hosts: no secret is in a body, but much else
REQUEST_MARGIN: Final = timedelta(
    seconds=30
)  # of a message's lease, for what is not the request


async def serve(settings: Settings) -> None:
    """Run until told to stop. What is opened last is closed first."""
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        ledger = DynamoDbLedger(
            client=await stack.enter_async_context(clients.dynamodb()), table=settings.table
        )
        topic = SnsResultTopic(
            client=await stack.enter_async_context(clients.sns()),
            topic_arn=settings.result_topic_arn,
        )
        changes = Changes()
        open_tasks = DynamoDbOpenTasks(ledger=ledger)
        sqs = await stack.enter_async_context(clients.sqs())
        webhooks = await open_webhooks(stack, settings, ledger, sqs)
        ends = CountEnds(DynamoDbRecentEnds(ledger=ledger))
        settle = Settle(
            ledger=ledger,
            open_tasks=open_tasks,
            topic=topic,
            webhooks=webhooks.announce,
            changes=changes,
            limiter=ProgressLimiter(settings.progress_interval),
            count=ends.count,
            limits=Limits(failures=settings.failures, receives=settings.receives),
        )
        watch = Watch(
            ledger=ledger, changes=changes, poll=settings.watch_poll, limit=settings.watchers
        )
        sweep = Sweep(
            ledger=ledger,
            open_tasks=open_tasks,
            settle=settle,
            interval=settings.sweep_interval,
            age=settings.sweep_age,
        )
        parked = CloseParked(
            queues=[
                SqsDeadLetters(
                    client=sqs,
                    url=url,
                    prefix=settings.queue_prefix,
                    bucket=settings.output_bucket,
                )
                for url in settings.dead_letter_queues
            ],
            settle=settle,
            interval=settings.parked_interval,
        )
        service = NotifierService(settle, watch)

        def register(server: grpc.aio.Server) -> None:
            notifier_pb2_grpc.add_NotifierServiceServicer_to_server(service, server)
            webhooks_pb2_grpc.add_WebhookServiceServicer_to_server(webhooks.service, server)

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
        async with asyncio.TaskGroup() as group:
            group.create_task(sweep.run_until_stopped(stop), name="sweep")
            group.create_task(ends.run_until_stopped(stop), name="count-ends")
            group.create_task(parked.run_until_stopped(stop), name="close-parked")
            group.create_task(webhooks.consumer.run_until_stopped(stop), name="webhooks")
            await health.ready()
            await stop.wait()
            await health.not_ready("stopping")
            changes.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """The parts of webhooks that others need."""

    announce: Announce
    consumer: Consumer
    service: WebhookService


async def open_webhooks(
    stack: AsyncExitStack, settings: Settings, ledger: DynamoDbLedger, sqs: SQSClient
) -> Webhooks:
    """The use cases of webhooks; the stack closes what they hold."""
    rules = AddressRules.read(settings.webhook_private_hosts, WEBHOOK_PORTS)
    store = DynamoDbStore(client=ledger.client, table=ledger.table)
    jobs = SqsJobs(
        client=sqs,
        url=settings.webhook_queue_url,
        dead_letter_url=settings.webhook_dead_letter_url,
        wait=settings.webhook_receive_wait,
        lease=settings.webhook_timeout + REQUEST_MARGIN,
    )
    deliver = Deliver(
        store=store,
        jobs=jobs,
        ledger=ledger,
        sender=await stack.enter_async_context(
            http_sender(rules=rules, patience=settings.webhook_timeout)
        ),
        replay=Replay(ledger=ledger, jobs=jobs),
        hosts=Hosts(settings.webhook_host_requests),
        retries=Retries(
            first=settings.webhook_first_retry,
            longest=settings.webhook_longest_retry,
            tries=settings.webhook_tries,
        ),
    )
    return Webhooks(
        announce=Announce(store=store, jobs=jobs, fresh=settings.webhook_fresh),
        consumer=Consumer(jobs=jobs, deliver=deliver, most=settings.webhook_requests),
        service=WebhookService(Manage(store=store, jobs=jobs, rules=rules)),
    )


def main() -> None:
    """Run the notifier as a process."""
    run_service("notifier", Settings, serve, "Commits results and sends callbacks.")


if __name__ == "__main__":
    main()
