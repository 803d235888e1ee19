from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from ledger_fakes import DONE, FAILED, NOW, new_record

from contracts.ids import TaskId, new_uid
from contracts.state import Progress, TaskState
from ledger.port import Ledger
from ledger.record import Record, Result
from ledger.transitions import Limits

LATER = NOW + timedelta(seconds=7)


@pytest.fixture
async def record(ledger: Ledger) -> Record:
    """A queued task that the ledger knows."""
    return await ledger.create(new_record())


async def test_a_record_is_read_as_it_was_created(ledger: Ledger) -> None:
    record = new_record()
    assert await ledger.create(record) == record
    assert await ledger.get(record.uid) == record


async def test_creating_again_gives_the_first_record_and_changes_nothing(
    ledger: Ledger, record: Record
) -> None:
    begun = await ledger.begin(record.uid, NOW)
    assert await ledger.create(replace(record, context_json="{}")) == begun
    assert await ledger.get(record.uid) == begun


async def test_an_unknown_uid_has_no_record(ledger: Ledger) -> None:
    uid = new_uid()
    assert await ledger.get(uid) is None
    assert await ledger.begin(uid, NOW) is None
    assert await ledger.finish(uid, DONE, NOW) == (None, False)
    await ledger.report(uid, 1, Progress(step=1, total=2))
    await ledger.mark_callback_sent(replace(new_record(), callback_due=True), NOW)
    assert await ledger.get(uid) is None


async def test_a_queued_record_can_be_withdrawn_and_withdrawn_again(
    ledger: Ledger, record: Record
) -> None:
    assert await ledger.withdraw(record.uid)
    assert await ledger.get(record.uid) is None
    assert await ledger.withdraw(record.uid)


async def test_a_record_that_an_agent_has_begun_cannot_be_withdrawn(
    ledger: Ledger, record: Record
) -> None:
    begun = await ledger.begin(record.uid, NOW)
    assert not await ledger.withdraw(record.uid)
    assert await ledger.get(record.uid) == begun


async def test_a_record_that_ended_cannot_be_withdrawn(ledger: Ledger, record: Record) -> None:
    await ledger.finish(record.uid, FAILED, NOW)
    assert not await ledger.withdraw(record.uid)


async def test_a_record_that_another_call_has_taken_over_cannot_be_withdrawn(
    ledger: Ledger, record: Record
) -> None:
    again = replace(record, created_at=LATER)
    assert await ledger.create(again) == record
    assert not await ledger.withdraw(record.uid)
    assert await ledger.get(record.uid) == record


async def test_a_call_that_creates_a_record_twice_may_withdraw_it(
    ledger: Ledger, record: Record
) -> None:
    assert await ledger.create(record) == record
    assert await ledger.withdraw(record.uid)


async def test_a_record_that_was_withdrawn_is_created_anew(
    ledger: Ledger, record: Record
) -> None:
    assert await ledger.withdraw(record.uid)
    again = replace(record, created_at=LATER)
    assert await ledger.create(again) == again


async def test_what_other_calls_have_taken_over_can_be_discarded_until_an_agent_begins(
    ledger: Ledger, record: Record
) -> None:
    again = replace(record, created_at=LATER)
    await ledger.create(again)
    assert await ledger.discard(record.uid)
    assert await ledger.create(again) == again
    await ledger.begin(record.uid, NOW)
    assert not await ledger.discard(record.uid)


async def test_each_begin_counts_an_attempt_and_clears_the_progress(
    ledger: Ledger, record: Record
) -> None:
    first = await ledger.begin(record.uid, NOW)
    assert first == replace(
        record, state=TaskState.RUNNING, attempt=1, started_at=NOW, sequence=2
    )
    await ledger.report(record.uid, 1, Progress(step=3, total=20))
    released = await ledger.release(record.uid, 1, interrupted=True, reason="stop")
    assert released is not None

    second = await ledger.begin(record.uid, LATER)

    assert second == replace(
        released, state=TaskState.RUNNING, attempt=2, started_at=LATER, sequence=5
    )
    assert await ledger.get(record.uid) == second


async def test_begin_of_an_ended_task_gives_it_unchanged(
    ledger: Ledger, record: Record
) -> None:
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    assert await ledger.begin(record.uid, LATER) == ended
    assert await ledger.get(record.uid) == ended


async def test_the_progress_of_the_present_attempt_is_kept(
    ledger: Ledger, record: Record
) -> None:
    await ledger.begin(record.uid, NOW)
    await ledger.report(record.uid, 1, Progress(step=3, total=20))
    found = await ledger.get(record.uid)
    assert found is not None
    assert found.progress == Progress(step=3, total=20)


@pytest.mark.parametrize("attempt", [0, 1, 3])
async def test_the_progress_of_another_attempt_is_ignored(
    ledger: Ledger, record: Record, attempt: int
) -> None:
    for _ in range(2):
        begun = await ledger.begin(record.uid, NOW)
    await ledger.report(record.uid, attempt, Progress(step=3, total=20))
    assert await ledger.get(record.uid) == begun


async def test_progress_before_the_begin_or_after_the_end_is_ignored(
    ledger: Ledger, record: Record
) -> None:
    await ledger.report(record.uid, 0, Progress(step=1, total=2))
    assert await ledger.get(record.uid) == record
    await ledger.begin(record.uid, NOW)
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    await ledger.report(record.uid, 1, Progress(step=1, total=2))
    assert await ledger.get(record.uid) == ended


@pytest.mark.parametrize("result", [DONE, FAILED, replace(DONE, warnings=("another sampler",))])
async def test_finish_commits_the_result_with_its_callback_due(
    ledger: Ledger, record: Record, result: Result
) -> None:
    begun = await ledger.begin(record.uid, NOW)
    assert begun is not None

    ended, committed = await ledger.finish(record.uid, result, LATER)

    assert committed
    assert ended == replace(
        begun,
        state=result.state,
        finished_at=LATER,
        image_url=result.image_url,
        output_url=result.output_url,
        error=result.error,
        warnings=result.warnings,
        callback_due=True,
        sequence=3,
    )
    assert await ledger.get(record.uid) == ended


async def test_a_task_that_no_agent_has_begun_can_fail(ledger: Ledger, record: Record) -> None:
    ended, committed = await ledger.finish(record.uid, FAILED, NOW)
    assert committed
    assert ended is not None
    assert (ended.state, ended.attempt) == (TaskState.FAILED, 0)


async def test_a_second_result_is_not_committed(ledger: Ledger, record: Record) -> None:
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    assert await ledger.finish(record.uid, FAILED, LATER) == (ended, False)
    assert await ledger.get(record.uid) == ended


async def test_of_many_who_finish_at_once_one_commits_and_all_see_its_result(
    ledger: Ledger, record: Record
) -> None:
    results = [replace(DONE, output_url=f"s3://b/{number}.out") for number in range(20)]
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(ledger.finish(record.uid, result, NOW), name=result.output_url)
            for result in results
        ]

    answers = [call.result() for call in calls]
    (winner,) = [n for n, (_, committed) in enumerate(answers) if committed]
    kept = await ledger.get(record.uid)
    assert kept is not None
    assert kept.output_url == results[winner].output_url
    assert all(seen == kept for seen, _ in answers)


async def test_a_told_callback_is_no_longer_due(ledger: Ledger, record: Record) -> None:
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    assert ended is not None
    for _ in range(2):
        await ledger.mark_callback_sent(ended, NOW)
        assert await ledger.get(record.uid) == replace(ended, callback_due=False)


async def test_many_begins_at_once_are_each_counted(ledger: Ledger, record: Record) -> None:
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(
                ledger.begin(record.uid, NOW, limits=Limits(failures=11)),
                name=f"begin-{number}",
            )
            for number in range(10)
        ]
    attempts = sorted(begun.attempt for call in calls if (begun := call.result()))
    assert attempts == list(range(1, 11))
    kept = await ledger.get(record.uid)
    assert kept is not None
    assert (kept.failures, kept.sequence) == (9, 11)


async def test_the_newest_submission_of_an_id_is_found(ledger: Ledger) -> None:
    task_id = TaskId(f"id-{new_uid()}")
    records = [await ledger.create(new_record(task_id=task_id)) for _ in range(3)]
    await ledger.create(new_record(task_id=f"{task_id}-other"))
    await ledger.create(replace(new_record(task_id=task_id), tenant="another"))
    assert await ledger.newest("studio", task_id) == max(records, key=lambda record: record.uid)


async def test_an_id_without_a_submission_has_no_newest(ledger: Ledger) -> None:
    assert await ledger.newest("studio", TaskId(f"id-{new_uid()}")) is None
