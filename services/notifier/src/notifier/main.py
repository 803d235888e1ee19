"""Builds the notifier from its parts and runs it. The only module that knows them all."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from awsio import clients
from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from ledger.dynamodb import DynamoDbLedger
from ledger.open_tasks import OpenTasks
from ledger.open_tasks_dynamodb import DynamoDbOpenTasks
from ledger.port import Ledger
from ledger.transitions import Limits
from notifier.adapters.sns import SnsResultTopic
from notifier.adapters.sqs import SqsDeadLetters
from notifier.changes import Changes
from notifier.parked import CloseParked
from notifier.ports import ResultTopic
from notifier.progress_limiter import ProgressLimiter
from notifier.rpc import NotifierService
from notifier.settings import Settings
from notifier.settle import Settle
from notifier.sweep import Sweep
from notifier.watch import Watch
from servicekit.health import Health
from servicekit.lifecycle import stop_on_signals
from servicekit.rpc import Renewal, serving
from servicekit.service import run_service
from servicekit.web import http_serving, ops_app


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
        settle = build_settle(settings, ledger, open_tasks, topic, changes)
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
        sqs = await stack.enter_async_context(clients.sqs())
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
        health = Health()
        await stack.enter_async_context(
            http_serving(ops_app(health), settings.host, settings.ops_port)
        )
        await stack.enter_async_context(
            serving(
                f"{settings.host}:{settings.grpc_port}",
                health,
                (notifier_pb2.DESCRIPTOR.services_by_name["NotifierService"].full_name,),
                lambda server: notifier_pb2_grpc.add_NotifierServiceServicer_to_server(
                    service, server
                ),
                renewal=Renewal(settings.grpc_connection_age, settings.grpc_connection_grace),
            )
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(sweep.run_until_stopped(stop), name="sweep")
            group.create_task(parked.run_until_stopped(stop), name="close-parked")
            await health.ready()
            await stop.wait()
            await health.not_ready("stopping")
            changes.close()


def build_settle(
    settings: Settings,
    ledger: Ledger,
    open_tasks: OpenTasks,
    topic: ResultTopic,
    changes: Changes,
) -> Settle:
    """The use case with its limits."""
    return Settle(
        ledger=ledger,
        open_tasks=open_tasks,
        topic=topic,
        changes=changes,
        limiter=ProgressLimiter(settings.progress_interval),
        limits=Limits(failures=settings.failures, receives=settings.receives),
    )


def main() -> None:
    """Run the notifier as a process."""
    run_service("notifier", Settings, serve, "Commits results and sends callbacks.")


if __name__ == "__main__":
    main()
