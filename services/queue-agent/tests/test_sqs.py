"""`TaskSource`: the fake and the real queue keep the same rules; and what becomes of poison."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from queue_agent_fakes import FakeNotifier, FakeRuntime, FakeTaskSource, message

from awsio import clients
from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from provisioning.resources import MAX_RECEIVES, provision
from queue_agent.aws.sqs import SqsTaskSource
from queue_agent.domain import Delivery, LeaseLostError, UnworkableError
from queue_agent.metrics import Metrics
from queue_agent.pipeline.consumer import Consumer
from queue_agent.pipeline.delivery_state import DeliveryState
from queue_agent.pipeline.readiness import Readiness
from queue_agent.pipeline.slots import Slots
from queue_agent.ports import TaskSource
from servicekit.health import Health

LEASE = timedelta(seconds=30)
Put = Callable[[bytes], Awaitable[None]]
Queue = tuple[TaskSource, Put]


async def _fake(_: AsyncExitStack) -> Queue:
    source = FakeTaskSource()

    async def put(body: bytes) -> None:
        source.put(body)

    return source, put


async def _real(stack: AsyncExitStack) -> Queue:
    sqs = await stack.enter_async_context(clients.sqs())
    url = (await sqs.create_queue(QueueName="contract"))["QueueUrl"]
    await sqs.purge_queue(QueueUrl=url)

    async def put(body: bytes) -> None:
        attribute = {"DataType": "String", "StringValue": "00-trace"}
        await sqs.send_message(
            QueueUrl=url,
            MessageBody=body.decode(),
            MessageAttributes={"traceparent": attribute},  # type: ignore[dict-item]  # a literal
        )

    wait = timedelta(seconds=1)
    return SqsTaskSource(client=sqs, queue_url=url, wait=wait, lease=LEASE), put


@pytest.fixture(params=[_fake, _real], ids=["fake", "emulator"])
async def queue(request: pytest.FixtureRequest, aws: str) -> AsyncIterator[Queue]:
    async with AsyncExitStack() as stack:
        yield await request.param(stack)


async def received(source: TaskSource) -> Delivery:
    found = await source.receive()
    assert found is not None
    return found


async def test_empty_queue_gives_nothing(queue: Queue) -> None:
    assert await queue[0].receive() is None


async def test_message_is_hidden_while_it_is_leased(queue: Queue) -> None:
    source, put = queue
    await put(b"one")

    taken = await received(source)

    assert (taken.body, taken.receives) == (b"one", 1)
    assert await source.receive() is None


async def test_released_message_comes_back_at_once_and_is_counted(queue: Queue) -> None:
    source, put = queue
    await put(b"one")
    taken = await received(source)

    await source.release(taken)

    again = await received(source)
    assert (again.body, again.receives) == (b"one", 2)
    assert again.receipt != taken.receipt


async def test_message_released_for_later_does_not_come_back_yet(queue: Queue) -> None:
    source, put = queue
    await put(b"one")

    await source.release(await received(source), timedelta(minutes=1))

    assert await source.receive() is None


async def test_extended_lease_goes_on(queue: Queue) -> None:
    source, put = queue
    await put(b"one")
    taken = await received(source)

    await source.extend(taken, LEASE)

    assert await source.receive() is None


async def test_lease_of_a_settled_message_is_lost_and_nothing_else_fails(queue: Queue) -> None:
    source, put = queue
    await put(b"one")
    taken = await received(source)

    await source.settle(taken)

    with pytest.raises(LeaseLostError):
        await source.extend(taken, LEASE)
    await source.release(taken)
    await source.settle(taken)
    assert await source.receive() is None


async def test_undecodable_message_lands_in_the_dead_letter_queue(
    aws: str, metrics: Metrics
) -> None:
    runtime = Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)
    made = await provision("poison", [runtime])
    source_url, parked_url = made.queues["sdruntime"], made.dead_letter_queues["sdruntime"]
    stop, handled = asyncio.Event(), 0

    async def handle(delivery: Delivery, state: DeliveryState) -> None:
        nonlocal handled
        handled += 1
        if handled == MAX_RECEIVES:
            stop.set()
        raise UnworkableError("undecodable message")

    async with clients.sqs() as sqs:
        await sqs.send_message(QueueUrl=source_url, MessageBody="no task")
        source = SqsTaskSource(
            client=sqs, queue_url=source_url, wait=timedelta(seconds=1), lease=LEASE
        )
        consumer = Consumer(
            source=source,
            notifier=FakeNotifier(),
            readiness=Readiness(
                runtime=FakeRuntime(), health=Health(), poll=timedelta(seconds=1)
            ),
            metrics=metrics,
            slots=Slots(1),
            lease=LEASE,
            drain=timedelta(seconds=1),
        )
        async with asyncio.timeout(60):
            await consumer.consume(handle, stop)
        assert await source.receive() is None
        parked = await sqs.receive_message(QueueUrl=parked_url, WaitTimeSeconds=5)

    assert [one["Body"] for one in parked.get("Messages", [])] == ["no task"]


async def test_trace_context_comes_with_a_message_through_the_topic(aws: str) -> None:
    made = await provision("traced", [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)])
    sent = message()
    async with clients.sns() as sns, clients.sqs() as sqs:
        await sns.publish(
            TopicArn=made.task_topic_arn,
            Message=sent.model_dump_json(),
            MessageAttributes={
                "runtime": {"DataType": "String", "StringValue": "sdruntime"},
                "traceparent": {"DataType": "String", "StringValue": "00-trace"},
            },
        )
        source = SqsTaskSource(
            client=sqs,
            queue_url=made.queues["sdruntime"],
            wait=timedelta(seconds=5),
            lease=LEASE,
        )
        taken = await received(source)

    assert taken.attributes["traceparent"] == "00-trace"
    assert taken.body == sent.model_dump_json().encode()
