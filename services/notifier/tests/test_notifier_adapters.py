from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from notifier_fakes import DONE, FAILED, NOW, RECORD, World
from opentelemetry.sdk.trace import TracerProvider

from awsio import clients
from contracts.callback import Callback
from contracts.ids import new_uid
from ledger.dynamodb import DynamoDbLedger
from ledger.open_tasks_dynamodb import DynamoDbOpenTasks
from ledger.record import Result
from notifier.adapters.sns import SnsResultTopic
from notifier.changes import Changes
from notifier.domain import callback_of
from notifier.settle import Settle
from provisioning.resources import Resources, provision, subscribe_queue
from servicekit.errors import FatalError


@pytest.fixture(scope="session")
def made(aws: str) -> Resources:
    """A stack of this session."""
    return asyncio.run(provision(f"notifier-{new_uid().lower()}", []))


@pytest.fixture
async def subscriber(made: Resources) -> str:
    """The URL of a queue that hears of results from now on."""
    return await subscribe_queue(made.result_topic_arn, f"subscriber-{new_uid().lower()}")


async def received(url: str) -> list[tuple[str, dict[str, str]]]:
    """Take what is in a queue now: bodies and their attributes."""
    async with clients.sqs() as sqs:
        answer = await sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return [
            (
                message["Body"],
                {k: v["StringValue"] for k, v in message.get("MessageAttributes", {}).items()},
            )
            for message in answer.get("Messages", [])
        ]


@pytest.mark.parametrize(
    ("result", "status", "good"), [(DONE, "completed", "true"), (FAILED, "failed", "false")]
)
async def test_a_subscriber_gets_the_callback_with_what_it_may_filter_by(
    world: World, made: Resources, subscriber: str, result: Result, status: str, good: str
) -> None:
    record = replace(RECORD, uid=new_uid())
    async with clients.sns() as sns, clients.dynamodb() as dynamodb:
        ledger = DynamoDbLedger(client=dynamodb, table=made.table)
        topic = SnsResultTopic(client=sns, topic_arn=made.result_topic_arn)
        settle = Settle(
            ledger=ledger,
            open_tasks=DynamoDbOpenTasks(ledger=ledger),
            topic=topic,
            webhooks=world.webhooks,
            changes=Changes(),
            limiter=world.limiter,
            count=lambda _: None,
            now=lambda: NOW,
        )
        await ledger.create(record)
        await settle.begin(record.uid, "agent-1")
        assert await settle.finish(record.uid, result)
        kept = await ledger.get(record.uid)

    ((body, attributes),) = await received(subscriber)
    attributes.pop("traceparent", None)  # there is one where another room's tests trace
    assert kept is not None
    assert not kept.callback_due
    assert Callback.model_validate_json(body) == callback_of(kept)
    assert attributes == {
        "runtime": "sdruntime", "tasktype": "text-to-image", "status": status, "result": good
    }  # fmt: skip


async def test_the_trace_travels_in_the_attributes_of_the_callback(
    made: Resources, subscriber: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = TracerProvider().get_tracer("test")
    monkeypatch.setattr("notifier.adapters.sns.tracer", tracer)
    ended = replace(RECORD, state=DONE.state)
    async with clients.sns() as sns:
        topic = SnsResultTopic(client=sns, topic_arn=made.result_topic_arn)
        with tracer.start_as_current_span("finish") as span:
            await topic.publish(callback_of(ended), ended.tasktype)

    ((_, attributes),) = await received(subscriber)
    trace_id = attributes["traceparent"].split("-")[1]
    assert int(trace_id, 16) == span.get_span_context().trace_id


async def test_a_result_topic_that_does_not_exist_is_fatal(made: Resources) -> None:
    ended = replace(RECORD, state=DONE.state)
    async with clients.sns() as sns:
        topic = SnsResultTopic(client=sns, topic_arn=f"{made.result_topic_arn}-none")
        with pytest.raises(FatalError, match=r"sns\.publish"):
            await topic.publish(callback_of(ended), ended.tasktype)
