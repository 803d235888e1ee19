from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from notifier_fakes import DONE, FAILED, NOW, RECORD, UID, World, numbered

from contracts.cost import Cost
from contracts.ids import Uid, new_uid
from contracts.kinds import Extra, TaskType
from contracts.state import Progress, TaskState
from contracts.verdict import Verdict
from ledger.open_tasks import Owner
from ledger.open_tasks_memory import MemoryOpenTasks
from ledger.record import CANCELLED, Result
from notifier.domain import callback_of
from notifier.progress_limiter import ProgressLimiter
from notifier.settle import SENDING
from servicekit.errors import TransientError

MOMENT = timedelta(milliseconds=1)
# Tests run in the root of the repository.
GOLDEN = json.loads(Path("tests/contract/golden/callback.completed.json").read_text())


async def test_the_callback_of_a_completed_task_is_the_golden_one(world: World) -> None:
    assert await world.settle.finish(UID, DONE)
    ((callback, tasktype),) = world.topic.published
    assert callback.model_dump_json() == json.dumps(GOLDEN, separators=(",", ":"))
    assert tasktype is TaskType.TEXT_TO_IMAGE
    assert not world.record.callback_due


async def test_the_callback_of_a_failed_task_tells_why(world: World) -> None:
    assert await world.settle.finish(UID, FAILED)
    (callback,) = world.callbacks
    assert (callback.result, callback.status, callback.image_url) == (False, "failed", [])
    assert callback.output_url == FAILED.output_url
    assert callback.error == FAILED.error


async def test_the_callback_has_the_cost_if_it_is_asked_for_and_known(world: World) -> None:
    cost = Cost(gpu_ms=1500, micros=207, currency="USD", node_type="g5.xlarge")
    asked = replace(RECORD, include=(Extra.COST,))
    assert callback_of(replace(asked, state=TaskState.COMPLETED)).cost is None
    for record in [RECORD, asked]:
        world.ledger.records[UID] = record
        await world.settle.finish(UID, replace(DONE, attempt=1, cost=cost))
    usual, full = (callback.model_dump() for callback in world.callbacks)
    assert "cost" not in usual
    assert full["cost"] == {
        "gpu_seconds": 1.5,
        "currency": "USD",
        "amount": "0.000207",
        "node_type": "g5.xlarge",
        "capacity": None,
    }


def test_the_callback_of_a_cancelled_task_says_so() -> None:
    callback = callback_of(replace(RECORD, state=TaskState.CANCELLED))
    assert (callback.status, callback.result, callback.output_url) == ("cancelled", False, None)


async def test_a_delivery_of_a_queued_task_proceeds_and_counts(world: World) -> None:
    assert await world.settle.begin(UID, "agent-1") == (Verdict.PROCEED, 1)
    assert await world.settle.begin(UID, "agent-2") == (Verdict.PROCEED, 2)
    assert (world.record.state, world.record.started_at) == (TaskState.RUNNING, NOW)
    assert world.callbacks == []


async def test_a_delivery_of_a_finished_task_needs_no_work_and_tells_nobody_again(
    world: World,
) -> None:
    await world.settle.finish(UID, DONE)
    assert await world.settle.begin(UID, "agent-1") == (Verdict.FINISHED, 0)
    assert len(world.callbacks) == 1


async def test_a_task_without_a_record_is_unknown_and_tells_nobody(world: World) -> None:
    uid = new_uid()
    assert await world.settle.begin(uid, "agent-1") == (Verdict.UNKNOWN, 0)
    assert not await world.settle.finish(uid, DONE)
    await world.settle.report(uid, 1, Progress(step=1, total=2))
    assert world.callbacks == []
    assert list(world.ledger.records) == [UID]


async def test_a_result_that_comes_second_publishes_nothing(world: World) -> None:
    assert await world.settle.finish(UID, DONE)
    assert not await world.settle.finish(UID, FAILED)
    assert [callback.status for callback in world.callbacks] == ["completed"]
    assert world.record.state is TaskState.COMPLETED


async def test_a_callback_that_could_not_be_sent_stays_due(world: World) -> None:
    world.topic.down = True
    with pytest.raises(TransientError):
        await world.settle.finish(UID, DONE)
    assert (world.record.state, world.record.callback_due) == (TaskState.COMPLETED, True)


@pytest.mark.parametrize("next_result", [None, DONE, FAILED])
async def test_a_callback_that_is_due_is_sent_by_whoever_comes_next_with_the_same_content(
    world: World, next_result: Result | None
) -> None:
    world.topic.down = True
    with pytest.raises(TransientError):
        await world.settle.finish(UID, DONE)
    expected = callback_of(world.record)
    world.topic.down = False
    world.now += SENDING + MOMENT

    if next_result is None:
        assert await world.settle.begin(UID, "agent-2") == (Verdict.FINISHED, 0)
    else:
        assert not await world.settle.finish(UID, next_result)

    assert world.callbacks == [expected]
    assert not world.record.callback_due


@pytest.mark.parametrize("next_result", [None, FAILED])
async def test_a_callback_that_is_just_being_sent_is_not_sent_by_another(
    world: World, next_result: Result | None
) -> None:
    await world.ledger.finish(UID, DONE, NOW)
    world.now += SENDING

    if next_result is None:
        assert await world.settle.begin(UID, "agent-2") == (Verdict.FINISHED, 0)
    else:
        assert not await world.settle.finish(UID, next_result)

    assert world.callbacks == []
    assert world.record.callback_due


async def test_a_result_that_is_told_again_sends_its_callback_at_once(world: World) -> None:
    await world.ledger.finish(UID, DONE, NOW)

    assert not await world.settle.finish(UID, DONE)

    assert [callback.status for callback in world.callbacks] == ["completed"]


async def test_a_task_taken_back_while_it_is_delivered_is_told_once(world: World) -> None:
    async def deliver() -> None:
        world.now += MOMENT
        await world.settle.begin(UID, "agent-1")

    await world.ledger.mark_cancelled(UID)
    async with asyncio.TaskGroup() as group:
        group.create_task(world.settle.settle_cancel(UID), name="cancel")
        group.create_task(deliver(), name="deliver")

    assert [callback.status for callback in world.callbacks] == ["cancelled"]


async def test_a_begin_that_cannot_send_what_is_due_is_transient(world: World) -> None:
    await world.ledger.finish(UID, DONE, NOW)
    world.now += SENDING + MOMENT
    world.topic.down = True
    with pytest.raises(TransientError):
        await world.settle.begin(UID, "agent-2")
    assert world.record.callback_due


async def test_of_many_who_finish_at_once_the_world_hears_one_result(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(world.settle.finish(UID, numbered(n)), name=f"finish-{n}")
            for n in range(20)
        ]

    (winner,) = [n for n, call in enumerate(calls) if call.result()]
    assert {callback.output_url for callback in world.callbacks} == {
        numbered(winner).output_url
    }
    assert not world.record.callback_due


async def test_progress_reaches_the_record(world: World) -> None:
    _, attempt = await world.settle.begin(UID, "agent-1")
    await world.settle.report(UID, attempt, Progress(step=3, total=20))
    assert world.record.progress == Progress(step=3, total=20)


@pytest.mark.parametrize(
    "text", ["{}", "null", '"a"', "[1, 2.5, 1e30]", '{"b": 1, "a": {"ä": [null, true]}}']
)
def test_the_context_comes_back_unchanged(text: str) -> None:
    record = replace(RECORD, state=TaskState.COMPLETED, context_json=text)
    written = json.loads(callback_of(record).model_dump_json())["context"]
    assert json.dumps(written) == json.dumps(json.loads(text))


async def test_a_cancelled_result_is_told_as_cancelled(world: World) -> None:
    assert await world.settle.finish(UID, CANCELLED)
    (callback,) = world.callbacks
    assert (callback.status, callback.error) == ("cancelled", None)


async def test_a_task_that_failed_too_often_is_told_once_and_stays_poisoned(
    world: World,
) -> None:
    for number in range(1, 4):
        verdict, attempt = await world.settle.begin(UID, "agent-1", number)
        assert (verdict, attempt) == (Verdict.PROCEED, number)
        await world.settle.release(UID, number, interrupted=False, reason="no disk")
    for number in range(4, 7):
        assert await world.settle.begin(UID, "agent-1", number) == (Verdict.POISONED, 0)
    (callback,) = world.callbacks
    assert (callback.status, callback.image_url, callback.output_url) == ("failed", [], None)
    assert callback.error is not None
    assert (callback.error.code, callback.error.retryable) == ("poisoned", True)
    assert "no disk" in callback.error.message


async def test_a_poisoned_task_whose_callback_failed_is_told_at_the_next_delivery(
    world: World,
) -> None:
    world.topic.down = True
    with pytest.raises(TransientError):
        await world.settle.begin(UID, "agent-1", 10)
    world.topic.down = False
    assert await world.settle.begin(UID, "agent-1", 11) == (Verdict.POISONED, 0)
    assert [callback.status for callback in world.callbacks] == ["failed"]


async def test_a_delivery_of_a_task_that_was_taken_back_ends_it(world: World) -> None:
    await world.ledger.mark_cancelled(UID)
    assert await world.settle.begin(UID, "agent-1", 1) == (Verdict.FINISHED, 0)
    assert [callback.status for callback in world.callbacks] == ["cancelled"]


async def test_a_queued_task_that_was_taken_back_is_settled_and_told_once(
    world: World,
) -> None:
    assert not await world.settle.settle_cancel(UID)
    await world.ledger.mark_cancelled(UID)
    for _ in range(2):
        assert await world.settle.settle_cancel(UID)
    assert [callback.status for callback in world.callbacks] == ["cancelled"]
    assert not await world.settle.settle_cancel(new_uid())


async def test_a_finished_task_is_not_settled_as_cancelled(world: World) -> None:
    await world.settle.begin(UID, "agent-1")
    await world.ledger.mark_cancelled(UID)
    await world.settle.finish(UID, DONE)
    assert not await world.settle.settle_cancel(UID)
    assert [callback.status for callback in world.callbacks] == ["completed"]


async def test_an_interrupted_attempt_of_a_task_that_was_taken_back_ends_it(
    world: World,
) -> None:
    await world.settle.begin(UID, "agent-1")
    await world.ledger.mark_cancelled(UID)
    await world.settle.release(UID, 1, interrupted=True, reason="SIGTERM")
    assert [callback.status for callback in world.callbacks] == ["cancelled"]


async def test_progress_is_written_at_most_once_a_second(world: World) -> None:
    _, attempt = await world.settle.begin(UID, "agent-1")
    for step in (1, 2):
        assert not await world.settle.report(UID, attempt, Progress(step=step, total=20))
    assert world.record.progress == Progress(step=1, total=20)
    await world.ledger.mark_cancelled(UID)
    assert await world.settle.report(UID, attempt, Progress(step=3, total=20))
    world.now += timedelta(seconds=1)
    assert await world.settle.report(UID, attempt, Progress(step=4, total=20))
    assert world.record.progress == Progress(step=4, total=20)


def test_only_a_bounded_number_of_tasks_is_remembered() -> None:
    limiter = ProgressLimiter(timedelta(seconds=1), remembered=2)
    uids = [new_uid() for _ in range(3)]
    assert all(limiter.allows(uid, NOW) for uid in uids)
    assert [limiter.allows(uid, NOW) for uid in reversed(uids)] == [False, False, True]


async def test_a_task_that_came_past_the_router_is_recorded_once(world: World) -> None:
    new = replace(RECORD, uid=new_uid(), tenant="direct")
    assert await world.settle.begin(new.uid, "agent-1", 1, new=new) == (Verdict.PROCEED, 1)
    await world.settle.finish(new.uid, DONE)
    assert await world.settle.begin(new.uid, "agent-2", 2, new=new) == (Verdict.FINISHED, 0)
    assert [callback.uid for callback in world.callbacks] == [new.uid]


async def test_a_key_has_room_for_another_task_before_its_client_is_told(world: World) -> None:
    owner = Owner("studio", "bot")
    world.ledger.records[UID] = replace(RECORD, key="bot", counted=True)
    await world.open_tasks.take(owner, UID, 1)
    world.topic.down = True

    with pytest.raises(TransientError):
        await world.settle.finish(UID, DONE)

    assert await world.open_tasks.of(owner) == frozenset()


async def test_a_client_is_told_though_nobody_counts_its_open_tasks(world: World) -> None:
    world.open_tasks = Unreachable()
    world.ledger.records[UID] = replace(RECORD, key="bot", counted=True)

    assert await world.settle.finish(UID, DONE)

    assert [callback.uid for callback in world.callbacks] == [UID]


class Unreachable(MemoryOpenTasks):
    """Cannot be reached."""

    async def give_back(self, owner: Owner, uid: Uid) -> None:
        raise TransientError("the table is out of reach")


async def test_the_cost_of_an_attempt_that_came_too_late_is_its_tasks(world: World) -> None:
    for agent in ["agent-1", "agent-2"]:
        await world.settle.begin(UID, agent)
    for _ in range(2):
        await world.settle.finish(UID, replace(DONE, attempt=2, cost=Cost(gpu_ms=5)))
        await world.settle.finish(UID, replace(FAILED, attempt=1, cost=Cost(gpu_ms=3)))
    assert world.record.cost == Cost(gpu_ms=8)
    assert len(world.callbacks) == 1


async def test_a_release_that_is_repeated_or_late_is_charged_once(world: World) -> None:
    await world.settle.begin(UID, "agent-1")
    await world.settle.begin(UID, "agent-2")
    for attempt in [1, 2, 1, 2]:
        await world.settle.release(
            UID, attempt, interrupted=True, reason="", cost=Cost(gpu_ms=attempt)
        )
    assert world.record.cost == Cost(gpu_ms=3)
    assert world.record.interruptions == 1
