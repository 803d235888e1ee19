from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from router_fakes import World, task

from contracts.ids import Uid
from contracts.kinds import TaskType
from contracts.state import TaskState
from servicekit.errors import AppError, FatalError, RejectedError, TransientError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DOWN = TransientError("SNS is down")
SNS_LIMIT_BYTES = 256 * 1024


async def test_an_accepted_task_is_in_the_ledger_and_on_the_topic(world: World) -> None:
    submitted = task()

    record = await world.submit(submitted)

    assert world.ledger.records == {submitted.uid: record}
    assert (record.state, record.runtime, record.attempt) == (TaskState.QUEUED, "fixed", 0)
    ((runtime, tasktype, message),) = world.topic.published
    assert (runtime, tasktype) == ("fixed", TaskType.TEXT_TO_IMAGE)
    assert (message.uid, message.id, message.runtime) == (submitted.uid, "test-t2i", "fixed")
    assert (message.prefix, message.bucket) == ("output", "outputbucket")
    assert message.content == {"prompt": "a dog"}
    assert (message.content_key, message.checkpoint) == (None, None)


@pytest.mark.parametrize("error", [DOWN, FatalError("the topic is gone")])
async def test_a_failed_publish_withdraws_the_record_and_is_no_acceptance(
    world: World, error: AppError
) -> None:
    world.topic.fails_before = error
    with pytest.raises(type(error)):
        await world.submit(task())
    assert world.ledger.records == {}


async def test_a_publish_that_failed_after_the_message_was_out_is_withdrawn_too(
    world: World,
) -> None:
    world.topic.fails_after = DOWN
    with pytest.raises(TransientError):
        await world.submit(task())
    assert world.ledger.records == {}
    assert len(world.topic.published) == 1


async def test_a_failed_publish_of_a_task_that_an_agent_has_begun_is_accepted(
    world: World,
) -> None:
    world.topic.fails_after = DOWN
    world.topic.delivered = lambda uid: world.ledger.begin(uid, NOW)
    submitted = task()

    record = await world.submit(submitted)

    assert record.state is TaskState.RUNNING
    assert world.ledger.records == {submitted.uid: record}


async def test_a_lost_answer_of_the_ledger_leaves_no_record_behind(world: World) -> None:
    world.ledger.loses_answer = True
    with pytest.raises(TransientError):
        await world.submit(task())
    assert world.ledger.records == {}
    assert world.topic.published == []


async def test_a_ledger_that_cannot_withdraw_does_not_hide_why_it_was_refused(
    world: World,
) -> None:
    world.ledger.withdraw_fails = True
    world.topic.fails_before = DOWN
    with pytest.raises(TransientError, match="SNS is down"):
        await world.submit(task())


async def test_a_call_that_is_cancelled_while_it_publishes_withdraws_its_record(
    world: World,
) -> None:
    world.topic.hangs = True
    await cancelled(world, world.topic.entered)
    assert world.ledger.records == {}


async def test_a_call_that_is_cancelled_while_it_records_withdraws_its_record(
    world: World,
) -> None:
    world.ledger.hangs = True
    await cancelled(world, world.ledger.created)
    assert world.ledger.records == {}


async def test_a_call_that_is_cancelled_after_an_agent_began_ends_and_keeps_the_record(
    world: World,
) -> None:
    begun = asyncio.Event()

    async def begin(uid: Uid) -> None:
        await world.ledger.begin(uid, NOW)
        begun.set()

    world.topic.delivered = begin
    world.topic.hangs = True
    await cancelled(world, begun)
    assert [record.state for record in world.ledger.records.values()] == [TaskState.RUNNING]


async def cancelled(world: World, when: asyncio.Event) -> None:
    call = asyncio.ensure_future(world.submit(task()))
    async with asyncio.timeout(60):
        await when.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_repeated_uid_is_published_again_and_keeps_one_record(world: World) -> None:
    submitted = task()
    first = await world.submit(submitted)
    assert await world.submit(submitted) == first
    assert world.ledger.records == {submitted.uid: first}
    assert [message.uid for _, _, message in world.topic.published] == [submitted.uid] * 2


async def test_a_repeated_uid_of_a_begun_task_is_not_published_again(world: World) -> None:
    submitted = task()
    await world.submit(submitted)
    begun = await world.ledger.begin(submitted.uid, NOW)
    assert await world.submit(submitted) == begun
    assert len(world.topic.published) == 1


async def test_a_failed_repetition_does_not_take_back_what_was_accepted(world: World) -> None:
    submitted = task()
    first = await world.submit(submitted)
    world.topic.fails_before = DOWN
    with pytest.raises(TransientError):
        await world.submit(submitted)
    assert world.ledger.records == {submitted.uid: first}


async def test_a_call_that_fails_does_not_take_back_what_its_repetition_was_told_is_accepted(
    world: World,
) -> None:
    submitted = task()

    async def repeat(uid: Uid) -> None:
        world.topic.delivered = None
        await world.submit(submitted)  # gRPC tries again: the first call's answer is late
        world.topic.fails_after = DOWN

    world.topic.delivered = repeat
    with pytest.raises(TransientError):
        await world.submit(submitted)
    assert list(world.ledger.records) == [submitted.uid]


async def test_a_large_body_goes_to_the_claims_and_the_message_points_to_it(
    world: World,
) -> None:
    body = b'{"init_images":["' + b"x" * 2**20 + b'"]}'
    submitted = task(content_json=body)

    await world.submit(submitted)

    ((_, _, message),) = world.topic.published
    assert (message.content, message.content_key) == (None, f"{submitted.uid}.json")
    assert world.claims.bodies == {f"{submitted.uid}.json": body}


@pytest.mark.parametrize("size", [240 * 1024, 240 * 1024 + 1])
async def test_a_message_always_fits_sns(world: World, size: int) -> None:
    empty = b'{"prompt":""}'
    body = b'{"prompt":"' + b"x" * (size - len(empty)) + b'"}'
    longest: dict[str, Any] = {"id": "i" * 128, "prefix": '"' * 512, "content_json": body}

    await world.submit(task(**longest))

    (message,) = world.topic.bodies
    attributes = 1024
    assert len(message) + attributes < SNS_LIMIT_BYTES
    assert len(world.claims.bodies) == (size > 240 * 1024)


async def test_a_body_that_cannot_be_kept_is_no_acceptance(world: World) -> None:
    world.claims.error = TransientError("S3 is down")
    with pytest.raises(TransientError, match="S3 is down"):
        await world.submit(task(content_json=b'{"x":"' + b"x" * 2**18 + b'"}'))
    assert (world.ledger.records, world.topic.published) == ({}, [])


async def test_the_checkpoint_of_a_dynamic_runtime_must_exist(world: World) -> None:
    with pytest.raises(RejectedError) as caught:
        await world.submit(task(runtime="", checkpoint="none.ckpt"))
    assert caught.value.code == "model_not_found"
    assert (world.ledger.records, world.topic.published) == ({}, [])


async def test_the_checkpoint_of_a_dynamic_runtime_travels_with_the_task(world: World) -> None:
    world.models.names = {"other.ckpt"}
    await world.submit(task(runtime="", checkpoint="other.ckpt"))
    ((runtime, _, message),) = world.topic.published
    assert (runtime, message.checkpoint) == ("dynamic", "other.ckpt")


async def test_nobody_asks_for_the_checkpoint_of_a_fixed_runtime(world: World) -> None:
    await world.submit(task(checkpoint="v1-5"))
    assert world.models.asked == []
