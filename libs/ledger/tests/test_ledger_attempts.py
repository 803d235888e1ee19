"""Attempts that end without a result, the limits of a task, and taking it back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_fakes import DONE, FAILED, NOW, new_record

from contracts.ids import new_uid
from contracts.state import Progress, TaskState
from ledger.port import Ledger
from ledger.record import CANCELLED, Record
from ledger.transitions import REASON_CHARACTERS, Limits

LATER = NOW + timedelta(seconds=7)


@pytest.fixture
async def record(ledger: Ledger) -> Record:
    """A queued task that the ledger knows."""
    return await ledger.create(new_record())


async def known(ledger: Ledger, record: Record) -> Record:
    found = await ledger.get(record.uid)
    assert found is not None
    return found


async def test_a_released_task_is_queued_again_without_progress(
    ledger: Ledger, record: Record
) -> None:
    await ledger.begin(record.uid, NOW, receives=1)
    await ledger.report(record.uid, 1, Progress(step=1, total=2))

    released = await ledger.release(record.uid, 1, interrupted=True, reason="Spot")

    assert released == replace(
        record,
        attempt=1,
        receives=1,
        released_attempt=1,
        interruptions=1,
        last_reason="Spot",
        sequence=4,
    )
    assert await ledger.get(record.uid) == released


async def test_a_release_is_noted_once(ledger: Ledger, record: Record) -> None:
    await ledger.begin(record.uid, NOW)
    first = await ledger.release(record.uid, 1, interrupted=False, reason="store down")
    assert await ledger.release(record.uid, 1, interrupted=False, reason="again") == first
    assert (await known(ledger, record)).failures == 1


@pytest.mark.parametrize("attempt", [0, 1, 3])
async def test_the_release_of_another_attempt_is_ignored(
    ledger: Ledger, record: Record, attempt: int
) -> None:
    for _ in range(2):
        begun = await ledger.begin(record.uid, NOW)
    assert await ledger.release(record.uid, attempt, interrupted=False, reason="") == begun


async def test_the_release_of_an_ended_task_is_ignored(ledger: Ledger, record: Record) -> None:
    await ledger.begin(record.uid, NOW)
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    assert await ledger.release(record.uid, 1, interrupted=False, reason="late") == ended


async def test_what_has_no_record_is_neither_released_nor_marked(ledger: Ledger) -> None:
    uid = new_uid()
    assert await ledger.release(uid, 1, interrupted=True, reason="") is None
    assert await ledger.mark_cancelled(uid) is None
    assert await ledger.settle_cancel(uid, NOW) == (None, False)
    assert await ledger.take_overdue(uid, LATER, LATER) is None
    assert await ledger.get(uid) is None


async def test_a_reason_is_kept_within_its_bound(ledger: Ledger, record: Record) -> None:
    await ledger.begin(record.uid, NOW)
    released = await ledger.release(record.uid, 1, interrupted=False, reason="x" * 9999)
    assert released is not None
    assert len(released.last_reason) == REASON_CHARACTERS


async def test_an_attempt_that_said_nothing_is_a_failure_when_the_next_begins(
    ledger: Ledger, record: Record
) -> None:
    await ledger.begin(record.uid, NOW, receives=1)
    begun = await ledger.begin(record.uid, LATER, receives=2)
    assert begun is not None
    assert (begun.attempt, begun.failures, begun.state) == (2, 1, TaskState.RUNNING)
    assert begun.last_reason == "the agent was lost"


async def test_the_same_delivery_again_is_no_failure(ledger: Ledger, record: Record) -> None:
    for attempt in range(1, 6):
        begun = await ledger.begin(record.uid, NOW, receives=7)
        assert begun is not None
        assert (begun.attempt, begun.failures) == (attempt, 0)


async def test_interruptions_never_poison_a_task(ledger: Ledger, record: Record) -> None:
    for attempt in range(1, 10):
        begun = await ledger.begin(record.uid, NOW, receives=attempt)
        assert begun is not None
        assert (begun.state, begun.attempt) == (TaskState.RUNNING, attempt)
        await ledger.release(record.uid, attempt, interrupted=True, reason="stop")
    assert (await known(ledger, record)).interruptions == 9


@pytest.mark.parametrize("says_so", [True, False])
async def test_a_task_that_the_platform_failed_3_times_ends_as_poisoned(
    ledger: Ledger, record: Record, says_so: bool
) -> None:
    for attempt in range(1, 4):
        await ledger.begin(record.uid, NOW, receives=attempt)
        if says_so:
            await ledger.release(record.uid, attempt, interrupted=False, reason="no disk")

    ended = await ledger.begin(record.uid, LATER, receives=4)

    assert ended is not None
    assert ended.error is not None
    assert (ended.state, ended.attempt, ended.poisoned) == (TaskState.FAILED, 3, True)
    assert (ended.callback_due, ended.finished_at) == (True, LATER)
    assert ended.error.retryable
    assert "3 attempts and 4 deliveries" in ended.error.message
    assert ("no disk" if says_so else "the agent was lost") in ended.error.message
    assert await ledger.begin(record.uid, LATER, receives=5) == ended


async def test_a_task_at_the_last_delivery_ends_as_poisoned(
    ledger: Ledger, record: Record
) -> None:
    ended = await ledger.begin(record.uid, NOW, receives=10)
    assert ended is not None
    assert (ended.poisoned, ended.attempt) == (True, 0)
    assert await ledger.get(record.uid) == ended


async def test_limits_are_as_the_caller_sets_them(ledger: Ledger, record: Record) -> None:
    limits = Limits(failures=1, receives=3)
    begun = await ledger.begin(record.uid, NOW, 2, limits=limits)
    ended = await ledger.begin(record.uid, NOW, 1, limits=limits)
    assert begun is not None
    assert ended is not None
    assert (begun.state, ended.poisoned) == (TaskState.RUNNING, True)


async def test_a_mark_is_made_once_and_leaves_the_state(ledger: Ledger, record: Record) -> None:
    begun = await ledger.begin(record.uid, NOW)
    assert begun is not None
    marked = replace(begun, cancel_requested=True, sequence=3)
    for _ in range(2):
        assert await ledger.mark_cancelled(record.uid) == marked
    assert await ledger.get(record.uid) == marked


async def test_an_ended_task_is_not_marked(ledger: Ledger, record: Record) -> None:
    ended, _ = await ledger.finish(record.uid, FAILED, NOW)
    assert await ledger.mark_cancelled(record.uid) == ended


async def test_a_marked_queued_task_is_settled_once(ledger: Ledger, record: Record) -> None:
    await ledger.mark_cancelled(record.uid)
    settled, committed = await ledger.settle_cancel(record.uid, LATER)
    assert committed
    assert settled == replace(
        record,
        state=TaskState.CANCELLED,
        finished_at=LATER,
        cancel_requested=True,
        callback_due=True,
        sequence=3,
    )
    assert await ledger.settle_cancel(record.uid, LATER) == (settled, False)
    assert await ledger.begin(record.uid, LATER) == settled


async def test_without_a_mark_nothing_is_settled(ledger: Ledger, record: Record) -> None:
    assert await ledger.settle_cancel(record.uid, NOW) == (record, False)


async def test_a_running_task_is_left_to_its_agent_and_ends_as_cancelled(
    ledger: Ledger, record: Record
) -> None:
    await ledger.begin(record.uid, NOW)
    marked = await ledger.mark_cancelled(record.uid)
    assert await ledger.settle_cancel(record.uid, NOW) == (marked, False)
    ended, committed = await ledger.finish(record.uid, CANCELLED, LATER)
    assert committed
    assert ended is not None
    assert (ended.state, ended.error, ended.output_url) == (TaskState.CANCELLED, None, None)


async def test_a_result_that_comes_before_the_agent_knows_of_the_mark_counts(
    ledger: Ledger, record: Record
) -> None:
    await ledger.begin(record.uid, NOW)
    await ledger.mark_cancelled(record.uid)
    ended, committed = await ledger.finish(record.uid, DONE, LATER)
    assert committed
    assert ended is not None
    assert ended.state is TaskState.COMPLETED
    assert await ledger.finish(record.uid, CANCELLED, LATER) == (ended, False)


async def test_a_delivery_of_a_marked_task_ends_it(ledger: Ledger, record: Record) -> None:
    await ledger.mark_cancelled(record.uid)
    ended = await ledger.begin(record.uid, LATER, receives=1)
    assert ended is not None
    assert (ended.state, ended.attempt, ended.callback_due) == (TaskState.CANCELLED, 0, True)


async def test_a_mark_and_a_begin_at_once_both_count(ledger: Ledger) -> None:
    for _ in range(5):
        record = await ledger.create(new_record())
        async with asyncio.TaskGroup() as group:
            group.create_task(ledger.mark_cancelled(record.uid), name="mark")
            group.create_task(ledger.begin(record.uid, NOW), name="begin")
        found = await known(ledger, record)
        assert found.cancel_requested
        assert (found.state, found.sequence) in {
            (TaskState.RUNNING, 3),
            (TaskState.CANCELLED, 3),
        }


async def test_of_many_who_poison_at_once_all_see_one_end(
    ledger: Ledger, record: Record
) -> None:
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(
                ledger.begin(record.uid, NOW + timedelta(seconds=n), receives=10),
                name=f"begin-{n}",
            )
            for n in range(10)
        ]
    kept = await known(ledger, record)
    assert all(call.result() == kept for call in calls)
    assert kept.sequence == 2


async def test_an_overdue_callback_is_taken_by_one_until_it_is_told(
    ledger: Ledger, record: Record
) -> None:
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    assert record.uid not in await ledger.overdue(NOW, 1000)
    assert record.uid in await ledger.overdue(LATER, 1000)

    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(ledger.take_overdue(record.uid, LATER, LATER), name=f"take-{n}")
            for n in range(5)
        ]

    assert [call.result() for call in calls if call.result()] == [ended]
    assert record.uid not in await ledger.overdue(LATER, 1000)
    much_later = LATER + timedelta(minutes=1)
    assert record.uid in await ledger.overdue(much_later, 1000)
    assert ended is not None
    await ledger.mark_callback_sent(ended, NOW)
    assert record.uid not in await ledger.overdue(much_later, 1000)
    assert await ledger.take_overdue(record.uid, much_later, much_later) is None


async def test_no_more_overdue_callbacks_are_given_than_were_asked_for(ledger: Ledger) -> None:
    for _ in range(4):
        record = await ledger.create(new_record())
        await ledger.finish(record.uid, DONE, NOW)
    assert len(await ledger.overdue(LATER, 3)) == 3


STEPS = st.lists(
    st.sampled_from(
        ["begin", "stage", "start", "report", "release", "mark", "settle", "finish"]
    ),
    max_size=12,
)


@given(steps=STEPS)
async def test_the_sequence_grows_by_1_with_each_change_and_an_end_is_final(
    ledger: Ledger, steps: list[str]
) -> None:
    record = await ledger.create(new_record())
    for step in steps:
        before = await known(ledger, record)
        await do(step, ledger, before)
        after = await known(ledger, record)
        assert after.sequence == before.sequence + (after != before)
        assert after == before or not before.terminal


async def do(step: str, ledger: Ledger, record: Record) -> None:
    """Do one thing to the present attempt."""
    uid, attempt = record.uid, record.attempt
    if step == "begin":
        await ledger.begin(uid, NOW)
    elif step == "stage":
        await ledger.begin(uid, NOW, staged=True)
    elif step == "start":
        await ledger.start(uid, attempt, LATER)
    elif step == "report":
        await ledger.report(uid, attempt, Progress(step=record.sequence, total=99))
    elif step == "release":
        await ledger.release(uid, attempt, interrupted=False, reason="x")
    elif step == "mark":
        await ledger.mark_cancelled(uid)
    elif step == "settle":
        await ledger.settle_cancel(uid, NOW)
    else:
        await ledger.finish(uid, DONE, NOW)


async def staged(ledger: Ledger, record: Record) -> Record:
    begun = await ledger.begin(record.uid, NOW, receives=1, staged=True)
    assert begun is not None
    return begun


async def test_a_staged_attempt_is_queued_for_clients_until_its_runtime_begins(
    ledger: Ledger, record: Record
) -> None:
    begun = await staged(ledger, record)
    assert begun == replace(record, state=TaskState.RUNNING, attempt=1, receives=1, sequence=2)
    assert begun.state_for_clients is TaskState.QUEUED

    started = await ledger.start(record.uid, 1, LATER)

    assert started == replace(begun, started_at=LATER, sequence=3)
    assert started.state_for_clients is TaskState.RUNNING
    assert await ledger.start(record.uid, 1, NOW) == started


@pytest.mark.parametrize("attempt", [0, 1, 3])
async def test_the_start_of_another_attempt_is_ignored(
    ledger: Ledger, record: Record, attempt: int
) -> None:
    await staged(ledger, record)
    begun = await staged(ledger, record)
    assert await ledger.start(record.uid, attempt, LATER) == begun


async def test_what_was_released_or_has_ended_does_not_start(
    ledger: Ledger, record: Record
) -> None:
    await staged(ledger, record)
    released = await ledger.release(record.uid, 1, interrupted=True, reason="stop")
    assert await ledger.start(record.uid, 1, LATER) == released
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    assert await ledger.start(record.uid, 1, LATER) == ended
    assert await ledger.start(new_uid(), 1, LATER) is None


async def test_the_next_attempt_is_staged_again(ledger: Ledger, record: Record) -> None:
    await staged(ledger, record)
    await ledger.start(record.uid, 1, NOW)
    begun = await ledger.begin(record.uid, LATER, receives=2, staged=True)
    assert begun is not None
    assert (begun.state_for_clients, begun.started_at) == (TaskState.QUEUED, None)


async def test_a_staged_attempt_that_said_nothing_is_a_failure_as_well(
    ledger: Ledger, record: Record
) -> None:
    await staged(ledger, record)
    begun = await ledger.begin(record.uid, LATER, receives=2, staged=True)
    assert begun is not None
    assert (begun.attempt, begun.failures) == (2, 1)


async def test_an_end_tells_the_start_that_nobody_has_noted(
    ledger: Ledger, record: Record
) -> None:
    await staged(ledger, record)
    ended, _ = await ledger.finish(record.uid, replace(DONE, started_at=LATER), LATER)
    assert ended is not None
    assert (ended.state_for_clients, ended.started_at) == (TaskState.COMPLETED, LATER)
    assert await ledger.get(record.uid) == ended


async def test_an_end_leaves_the_start_that_was_noted(ledger: Ledger, record: Record) -> None:
    await ledger.begin(record.uid, NOW)
    ended, _ = await ledger.finish(record.uid, replace(DONE, started_at=LATER), LATER)
    assert ended is not None
    assert ended.started_at == NOW


async def test_a_marked_staged_task_is_settled_at_once(ledger: Ledger, record: Record) -> None:
    await staged(ledger, record)
    await ledger.mark_cancelled(record.uid)
    settled, committed = await ledger.settle_cancel(record.uid, LATER)
    assert committed
    assert settled is not None
    assert settled.state is TaskState.CANCELLED
    assert await ledger.finish(record.uid, DONE, LATER) == (settled, False)
